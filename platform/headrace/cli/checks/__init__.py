"""What `headrace doctor` looks at: a function per question, each answered in milliseconds."""
