"""What comes from botocore and boto3."""
