"""One module for each format. What clients speak has write_request, read_answer, read_stream and
read_error; what providers speak has read_request, write_answer, write_stream and write_error."""
