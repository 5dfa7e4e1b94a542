"""What bench/gpu/run compares: the sizes and targets of every workload, for our worker and for peers.py alike.

A workload is a dict. `kind` and sizes go to the workers; `section`, `name`, `operations`, `bytes`, `targets` and `targetKind` go to the report.
Within a section the important ones come first, since what the time does not suffice for is left out from the end.
"""


def gemm(m, n, k, precision, targets, mma=False):
    """With `mma` our product goes by mma.sync also where the card has wgmma."""
    return dict(section="gemm", kind="gemm", name=f"gemm {precision} {m} x {n} x {k}{', mma.sync' if mma else ''}", precision=precision, m=m, n=n, k=k, mma=mma,
                operations=2.0 * m * n * k, targets=targets)


def attention(tokens, head_size, causal, backward, width, total_tokens, targets, stays=False, mma=False):
    """Batch times tokens is constant, as in the published tables; a causal mask halves the operations, backward takes 2.5 times forward.

    With `stays` our kernel by wgmma has a group for each multiprocessor, which takes one tile of queries after the other; with `mma` it
    goes by mma.sync also where the card has wgmma."""
    batch, heads = max(1, total_tokens // tokens), width // head_size
    operations = 4.0 * batch * heads * tokens * tokens * head_size * (0.5 if causal else 1) * (2.5 if backward else 1)
    direction = "backward" if backward else "forward"
    return dict(section=f"attention {direction}", kind="attention_backward" if backward else "attention", precision="bf16",
                name=f"{direction} {batch} x {heads} x {tokens} x {head_size}{' causal' if causal else ''}{', groups stay' if stays else ''}{', mma.sync' if mma else ''}", stays=stays, mma=mma,
                batch=batch, heads=heads, tokens=tokens, headSize=head_size, causal=causal, operations=operations, targets=targets)


def rows(kind, name, count, width, bytes_per_element):
    return dict(section="bandwidth", kind=kind, name=f"{name} {count} x {width}", rows=count, columns=width,
                bytes=float(bytes_per_element) * count * width, targetKind="copy", targets=[0.85])


def elements(kind, name, count, bytes_per_element, **more):
    return dict(section="bandwidth", kind=kind, name=f"{name} {count}", elements=count, bytes=float(bytes_per_element) * count, **more)


def contrastive(batch, width, must_run=False):
    return dict(section="contrastive", kind="contrastive", name=f"batch {batch}, width {width}", batch=batch, columns=width, precision="bf16",
                operations=2.0 * batch * batch * width * 3, targetKind="runs" if must_run else "ratio", targets=[])


def clip(kind, batch, model, graph, targets):
    what = {"clip_train": "training step", "clip_trainer": "step by the trainer", "clip_infer": "inference"}[kind]
    return dict(section="clip", kind=kind, name=f"{model} {what}, batch {batch}{', as a graph' if graph else ''}", batch=batch, model=model,
                graph=graph, precision="bf16", targets=targets)


def full(is_hopper):
    """All of them; the higher targets are for cards with wgmma."""
    tensor = [0.55, 0.75, 0.9] if is_hopper else [0.55]
    forward = [0.9, 1.2] if is_hopper else [0.9]
    result = [gemm(n, n, n, "bf16", tensor) for n in (8192, 4096, 2048, 1024, 512)]
    vit, bert = 64 * 197, 32 * 128
    for tokens in (vit, bert):
        result += [gemm(tokens, n, k, "bf16", tensor) for n, k in ((3072, 768), (768, 3072), (2304, 768), (768, 768))]
    result += [gemm(n, n, n, "tf32", tensor) for n in (8192, 4096, 2048, 1024, 512)]
    if is_hopper:
        result += [gemm(n, n, n, precision, [0.55], mma=True) for precision in ("bf16", "tf32") for n in (8192, 4096, 2048)]
    for backward, targets in ((False, forward), (True, [0.7])):
        for tokens in (4096, 1024, 197, 16384):
            for head_size in (64, 128):
                for causal in (False, True):
                    result.append(attention(tokens, head_size, causal, backward, 2048, 16384, targets))
    if is_hopper:
        result += [attention(tokens, head_size, causal, False, 2048, 16384, forward, stays=True)
                   for tokens in (197, 1024, 4096) for head_size in (64, 128) for causal in (False, True)]
        result += [attention(4096, head_size, causal, False, 2048, 16384, [0.9], mma=True) for head_size in (64, 128) for causal in (False, True)]
    result += [elements("copy", "copy", 1 << 28, 8, isCopy=True),
               rows("layernorm", "layer norm", 65536, 768, 8), rows("layernorm_backward", "layer norm backward", 65536, 768, 12),
               rows("softmax", "softmax", 16384, 4096, 8), rows("layernorm", "layer norm", 16384, 4096, 8),
               elements("adamw", "AdamW", 100_000_000, 28, targetKind="copy", targets=[0.85])]
    result += [contrastive(65536, 512, must_run=True)] + [contrastive(n, 512) for n in (32768, 16384, 4096, 1024)]
    for graph in (False, True):
        result += [clip("clip_train", 256, "vit_b32", graph, [0.8, 1.0]), clip("clip_infer", 256, "vit_b32", graph, [0.8, 1.0]),
                   clip("clip_infer", 1, "vit_b32", graph, [0.8, 1.0]), clip("clip_trainer", 256, "vit_b32", graph, [0.8, 1.0]),
                   clip("clip_trainer", 16, "vit_b32", graph, [0.8, 1.0])]
    return result


def smoke():
    """One small workload of every kind, in float32, to try the script out where there is no GPU."""
    result = [gemm(64, 48, 32, "float32", [0.55]), attention(32, 16, False, False, 32, 64, [0.9]), attention(32, 16, True, True, 32, 64, [0.7]),
              elements("copy", "copy", 4096, 8, isCopy=True), rows("layernorm", "layer norm", 16, 64, 8),
              rows("layernorm_backward", "layer norm backward", 16, 64, 12), rows("softmax", "softmax", 16, 64, 8),
              elements("adamw", "AdamW", 4096, 28, targetKind="copy", targets=[0.85]), contrastive(32, 16, must_run=True),
              clip("clip_infer", 1, "small", False, [0.8]), clip("clip_train", 2, "small", False, [0.8]),
              clip("clip_trainer", 2, "small", False, [0.8])]
    for workload in result:
        workload["precision"] = "float32"
    return result
