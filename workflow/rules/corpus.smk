# The books as memory-mapped token shards.


rule corpus:
    input:
        books=book_files(),
        tokenizer=f"{ROOT}/tokenizer/manifest.json",
    output:
        f"{ROOT}/corpus/index.json",
        f"{ROOT}/corpus/manifest.json",
    log:
        f"{ROOT}/logs/corpus.log",
    priority: 40
    conda:
        "../../environment.yml"
    threads: plan.config.corpus.workers
    params:
        settings=lambda wildcards: plan.corpus_job().to_json(),
        books=lambda wildcards: BOOKS,
        tokenizer=folder("tokenizer"),
        out=out,
    shell:
        "gptbench --log {log:q} corpus --settings {params.settings:q} --books {params.books:q}"
        " --tokenizer {params.tokenizer:q} --out {params.out:q}"


if plan.corpora():

    # Another corpus than the scale's own books, for models that name it.
    use rule corpus as other_corpus with:
        input:
            books=lambda wildcards: books_below(plan.corpora()[wildcards.corpus]),
            tokenizer=f"{ROOT}/tokenizer/manifest.json",
        output:
            f"{ROOT}/corpora/{{corpus}}/index.json",
            f"{ROOT}/corpora/{{corpus}}/manifest.json",
        log:
            f"{ROOT}/logs/corpora/{{corpus}}.log",
        wildcard_constraints:
            corpus=one_of(plan.corpora()),
        params:
            settings=lambda wildcards: plan.corpus_job(wildcards.corpus).to_json(),
            books=lambda wildcards: str(plan.corpora()[wildcards.corpus]),
            tokenizer=folder("tokenizer"),
            out=out,
