"""What a node knows of the tables behind it.

``schemas``          descriptions as DynamoDB gives them, and noticing when a table is another one
``table_info``       one description (pure)
``keys``             descriptions in the form in which query results are worked with (pure)
``item_keys``        keys of items, in canonical bytes or refused in DynamoDB's words (pure)
``attribute_lists``  lists of attribute names, which items are cached by, from the replicated log
``shares``           how much of them one principal may have registered (pure)
"""
