"""What joins seslimit to other people's frameworks, one package for each."""
