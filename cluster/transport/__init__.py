"""Listeners and connections of server processes, and the limits on them (docs/limits.md).

``client_server``     the listeners of a front end, and their connections
``served_connection`` what connections of clients have in common
``connection_state``  how far a connection is on its way to its end
``expected``          connections that owe a request
``dax_server``        DAX listeners
``dax_protocol``      one DAX connection
``dax_callers``       who calls by a DAX connection
``resets``            whether the kernel ends one by FIN or by RST
``dax_interface``     what answers their requests
``json_values``       the values of a JSON document
``weighing``          those of a DAX request
``large_work``        work that is too long for the event loop
``turns``             how many requests begin in a turn of the event loop
``memory``            what requests and replies hold
``charges``           what answers hold, of requests under way
``origin``            where the request under way comes from
``traces``            what traces of errors hold
``grpc_server``       gRPC servers for clients
``grpc_callers``      who calls by gRPC
``grpc_errors``       what goes with a status of gRPC
``grpc_limits``       what clients may take of a gRPC server
``protobuf_slices``   large messages of gRPC in slices, between which others run
``protobuf_wire``     heads of protobuf's fields, written by hand
``arrivals``          gRPC messages that arrive slowly
``restraint``         how often callers may ask, and guess
``tls``               the certificate of listeners
``member_certificates`` by which members know each other
``members_server``    the port of members, and what their certificates allow
``member_channels``   ways to other members
``tls_listener``      handshakes among the connections
``addresses``         addresses to bind, to tell, to dial
``descriptors``       file descriptors, divided at the start
"""
