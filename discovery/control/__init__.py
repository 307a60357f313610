"""The control plane: AWS's API of DAX (``AmazonDAXV3``) over the cluster that discovery follows.

``assembly``    puts it together
``service``     a request, from its signature to its answer: who may, what is asked, what is changed
``model``       what may be asked, by AWS's own description of the service
``operations``  which function answers which of the 21 operations: pure
``world``       what an operation decides by, and what it comes to: pure
``records``     what is kept in the replicated log, and its bytes: pure
``faults``      refusals in AWS's words: pure
``names``       ARNs, and what names and other texts may look like: pure
``paging``      lists in pages: pure
``clusters``    clusters, told and changed: pure
``creating``    further clusters, made and deleted by request; ``life``: what becomes of them: pure
``addressing``  operations on the cluster that they name: pure
``beside``      follows further clusters, and has their logs say what their parameter group says
``launcher``    who starts and stops nodes and clusters; ``acting``: has that done
``nodes``       its nodes: reboots, more and fewer of them: pure
``subnet_groups``, ``parameter_groups``, ``tags``, ``history``: what their names say: pure
``stacks``      what templates' resources have become, as tags of an ARN of ours: pure
``authorizing`` whether the caller's policies allow it: pure
``observing``   what happened, by comparing what is kept with the roster: pure
``subnets``     the file of subnets and their zones
``feed``        follows the records through a node, and has them changed
"""
