"""What becomes of the nodes' metrics: they are asked for, kept, and worked out.

``scraper``     asks each node, and keeps what it says
``exposition``  Prometheus' text: pure
``catalogue``   the metrics that are kept, by their names in CloudWatch, and how they follow from
                what a node says: pure
``tables``      those of single tables: pure
``history``     the file that they are kept in
``aggregation`` values of a time to statistics of periods: pure
``pushes``      what is pushed to a CloudWatch elsewhere, and by which process: pure
``alarms``      when an alarm is in which state: pure
``expressions`` metric math, and ``expression_text``, how it is read: pure
"""
