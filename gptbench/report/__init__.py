"""Tables, figures and the page, from the files of the earlier stages."""
