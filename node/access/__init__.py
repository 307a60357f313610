"""What a request needs to be allowed, and whether it is. Pure.

``needs``       from an operation and its parameters to actions, resources and their context
``need``        one of them, and what may be told of its request
``places``      ARNs of the tables that requests name
``items``       operations on items: leading keys, attributes, what is selected and returned
``expressions`` the attributes that expressions and their older forms name
``partiql``     what a PartiQL statement says, as far as that matters here
``statements``  the operations that have PartiQL statements
``tables``      all other operations, by one table of them
``authorizer``  whether who makes the request under way may do it
``judging``     needs, and the rights of who calls
"""
