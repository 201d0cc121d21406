# Byte-pair encoding, trained on the training books (section 4.1), or imported.


rule tokenizer:
    input:
        files=[str(path) for path in plan.tokenizer_files()] or book_files(),
    output:
        f"{ROOT}/tokenizer/encoder.json",
        f"{ROOT}/tokenizer/merges.txt",
        f"{ROOT}/tokenizer/manifest.json",
    log:
        f"{ROOT}/logs/tokenizer.log",
    priority: 50
    conda:
        "../../environment.yml"
    threads: plan.config.corpus.workers
    params:
        settings=lambda wildcards: plan.tokenizer_job().to_json(),
        books=lambda wildcards, input: (
            os.path.commonpath(input.files) if plan.tokenizer_files() else BOOKS
        ),
        out=out,
    shell:
        "gptbench --log {log:q} tokenizer train --settings {params.settings:q}"
        " --books {params.books:q} --out {params.out:q}"
