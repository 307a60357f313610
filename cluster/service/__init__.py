"""What every server process has: settings, a life, logs, and an admin port.

``configuration``     settings from a file and the environment
``lifecycle``         start in order, wait, stop in reverse
``logs``              one JSON object per line
``log_limits``        bounds on lines of one kind
``admin_http``        health, status, metrics and commands by HTTP
``metrics``           the kinds of numbers that Prometheus is told
``metrics_feed``      the same numbers for discovery, at the port of members
``http_connections`` bounds on an HTTP server's connections
``admin_token``       the tokens that authorise commands, and reading
``admin_socket``      a unix socket for commands
``authentication``    who may call: where principals come from
``principals_file``   principals of a YAML file, read again when it changes
``commands``          bounds on commands
``audit_log``         writes decisions about access
``line_writer``       lines that a thread writes; ``rotated_file``: where to
``recovery_main``     the program that makes a survivor the only member
"""
