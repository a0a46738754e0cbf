"""
Servers in front of SES, for programs that cannot import seslimit: an SMTP relay, and a messenger for listmonk.

They are embedders as any other: they use what `import seslimit` gives, and nothing behind it but `_dialogue`, which
finds the end of a content for the simulator as well, and `_composing`, which composes for the command line too.
"""
