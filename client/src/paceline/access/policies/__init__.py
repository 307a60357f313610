"""IAM policy documents: read, matched and decided as IAM publishes it (docs/security.md). Pure.

``problems``    the one error of documents that cannot be read
``json_text``   JSON, strictly: bounded, no key twice
``templates``   text with wildcards and policy variables
``arns``        patterns of ARNs, and the ARNs of tables and indexes
``context``     what is known of a caller and of a request, by condition keys
``operators``   condition operators
``conditions``  the Condition of a statement
``statements``  one statement, and whether it applies
``policy``      a document, from its text
``rights``      all policies that apply to one caller at one table
``decisions``   allowed or not, by which statement, and why
``remarks``     what can be read, and surely means something else than it seems to
``compiled``    what can be said of an action before its context is known
"""
