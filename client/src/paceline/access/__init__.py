"""What may be done by whom, as far as servers and the command line share it. Pure.

``policies``  IAM policy documents, and what they decide
"""
