"""
Messages made of fields: headers, parts and the whole, and the record of them that a line of JSON is.

For the command line, a queue of SQS and the companions alike. Pure: what a file holds is given by whoever may read it.
"""
