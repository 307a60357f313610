"""CloudFormation templates, applied to the control plane of a discovery process.

``template_text`` YAML and JSON with CloudFormation's tags, each value with its line: pure
``problems``      what is wrong with a template, and where: pure
``template``      its sections, and which resources need which: pure
``parameters``    the values of its parameters: pure
``intrinsics``    conditions and functions, worked out: pure
``foreign``       resources of other services: what is plausible to refer to: pure
``kinds``         DAX's three types: their properties, and what changes them in place: pure
``record``        what is noted of a stack's resources: pure
``planning``      what has to be done, by what is wanted, noted and there: pure
``telling``       a plan and outputs, for people and for programs: pure
``control_plane`` asks discovery, by botocore's client
``acting``        does what a plan says, step by step
``applying``      from a file to its outputs
"""
