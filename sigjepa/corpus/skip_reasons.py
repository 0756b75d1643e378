"""Reasons under which skipped files and functions are counted, and what they mean."""

SKIP_REASONS = {
    # files
    "test_file": "files of test code (`include_tests=true` keeps them)",
    "vendored_file": "files of other projects' code that a package ships a copy of",
    "generated_file": "files that carry a code generator's marker",
    "oversized_file": "files over `max_file_bytes`",
    "unreadable_file": "files that are listed but cannot be read",
    "undecodable_file": "files that are not text in their declared encoding",
    "syntax_error": "files that this Python cannot parse",
    "too_deeply_nested": "files too deeply nested to parse",
    # functions
    "stub": "functions whose body is `...`, `pass` or a docstring",
    "overload": "`@overload` declarations",
    "abstract": "abstract methods, or bodies that only raise NotImplementedError",
    "short_body": "functions under `min_body_statements`",
    "long_body": "functions over `max_body_lines`",
    "exact_duplicate": "functions whose signature and body, or whose body, occurs before",
    "near_duplicate": "functions whose body is nearly that of one before",
    "renamed_duplicate": "functions whose body is nearly that of one before but for its identifiers",
    "over_limit": "functions over `max_functions` or `max_functions_per_repository`",
}
