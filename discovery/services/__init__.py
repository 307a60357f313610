"""The port for AWS's own services: STS, CloudWatch, DAX's control plane. One HTTP server for all.

``requests``  a request and an answer, as services see them
``server``    the server: its bounds, and which hosts and pages it answers
``router``    which service a request is for: pure
``auditing``  a request, as the audit log has it: pure
``callers``   who has signed it: pure
``query``     the form of AWS's older services: parameters in a form, answers in XML: pure
"""
