"""The object store: any S3. The only package that imports boto3."""
