#!/usr/bin/env python3
"""The peer of bench/gpu/run: the same workloads by PyTorch, as its users write them.

Answers requests on standard input, a line of JSON each, like our own worker: info, prepare, time, release. Times are taken by CUDA events
around a batch of runs. With --dry-run nothing is computed, PyTorch is not needed, and every time is invented.
"""

import json
import sys

WARM_UP_RUNS, MOST_RUNS = 3, 10_000
DEVICE = "cuda"


class DryRun:
    """Says that everything takes a millisecond."""

    def info(self):
        return {"torch": "none (dry run)", "dryRun": True}

    def prepare(self, workload, batch_seconds):
        if workload["kind"] == "contrastive":
            raise MemoryError("invented, as of a composed loss")
        return {"runs": 1}

    def time(self):
        return {"milliseconds": 1.0, "runs": 1}

    def release(self):
        return {"peakBytes": 1 << 20}


class Torch:
    """The workloads on the current CUDA device."""

    def __init__(self):
        import torch

        self.torch = torch
        self.run, self.runs = None, 1
        torch.manual_seed(1)
        if not torch.cuda.is_available():
            raise RuntimeError("PyTorch sees no CUDA device.")

    def info(self):
        torch = self.torch
        major, minor = torch.cuda.get_device_capability()
        return {"torch": torch.__version__, "cuda": torch.version.cuda, "name": torch.cuda.get_device_name(),
                "capability": f"{major}.{minor}", "memoryBytes": torch.cuda.get_device_properties(0).total_memory}

    def prepare(self, workload, batch_seconds):
        torch = self.torch
        self.release()
        torch.cuda.reset_peak_memory_stats()
        torch.backends.cuda.matmul.allow_tf32 = workload.get("precision") == "tf32"
        self.run = getattr(self, "make_" + workload["kind"])(workload)
        self.batch(WARM_UP_RUNS)
        once = self.batch(1)
        self.runs = max(1, min(MOST_RUNS, int(batch_seconds * 1000 / once)))
        return {"runs": self.runs}

    def time(self):
        return {"milliseconds": self.batch(self.runs), "runs": self.runs}

    def release(self):
        torch = self.torch
        peak = torch.cuda.max_memory_allocated()
        self.run = None
        torch.cuda.empty_cache()
        return {"peakBytes": peak}

    def batch(self, runs):
        """Milliseconds of one of several runs, by events on the current stream."""
        if self.run is None:
            raise RuntimeError("No workload is prepared.")
        torch = self.torch
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        for _ in range(runs):
            self.run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / runs

    def uniform(self, *shape, dtype=None, needs_gradient=False):
        """Uniform in [-1, 1)."""
        values = self.torch.rand(*shape, device=DEVICE) * 2 - 1
        return values.to(dtype or self.torch.float32).requires_grad_(needs_gradient)

    def precision(self, workload):
        return self.torch.bfloat16 if workload.get("precision") == "bf16" else self.torch.float32

    def make_copy(self, w):
        source = self.uniform(w["elements"])
        target = self.torch.empty_like(source)
        return lambda: target.copy_(source)

    def make_gemm(self, w):
        dtype = self.precision(w)
        a, b = self.uniform(w["m"], w["k"], dtype=dtype), self.uniform(w["n"], w["k"], dtype=dtype)
        c = self.torch.empty(w["m"], w["n"], device=DEVICE, dtype=dtype)
        return lambda: self.torch.matmul(a, b.t(), out=c)

    def attention_operands(self, w, needs_gradient):
        shape = (w["batch"], w["heads"], w["tokens"], w["headSize"])
        return [self.uniform(*shape, dtype=self.precision(w), needs_gradient=needs_gradient) for _ in range(3)]

    def make_attention(self, w):
        query, key, value = self.attention_operands(w, False)
        attend = self.torch.nn.functional.scaled_dot_product_attention
        return lambda: attend(query, key, value, is_causal=w["causal"])

    def make_attention_backward(self, w):
        torch = self.torch
        operands = self.attention_operands(w, True)
        output = torch.nn.functional.scaled_dot_product_attention(*operands, is_causal=w["causal"])
        gradient = self.uniform(*output.shape, dtype=output.dtype)
        return lambda: torch.autograd.grad(output, operands, gradient, retain_graph=True)

    def make_layernorm(self, w):
        x, weight, bias = self.uniform(w["rows"], w["columns"]), self.uniform(w["columns"]), self.uniform(w["columns"])
        return lambda: self.torch.nn.functional.layer_norm(x, [w["columns"]], weight, bias)

    def make_layernorm_backward(self, w):
        torch = self.torch
        x = self.uniform(w["rows"], w["columns"], needs_gradient=True)
        weight, bias = self.uniform(w["columns"], needs_gradient=True), self.uniform(w["columns"], needs_gradient=True)
        y = torch.nn.functional.layer_norm(x, [w["columns"]], weight, bias)
        gradient = self.uniform(w["rows"], w["columns"])
        return lambda: torch.autograd.grad(y, (x, weight, bias), gradient, retain_graph=True)

    def make_softmax(self, w):
        x = self.uniform(w["rows"], w["columns"])
        return lambda: self.torch.softmax(x, dim=1)

    def make_adamw(self, w):
        parameter = self.torch.nn.Parameter(self.uniform(w["elements"]))
        parameter.grad = self.uniform(w["elements"])
        optimizer = self.torch.optim.AdamW([parameter], lr=1e-6, weight_decay=0.1, fused=True)
        return optimizer.step

    def contrastive_loss(self, image, text, scale):
        """The composed form: logits, and cross-entropy along both axes."""
        functional = self.torch.nn.functional
        logits = scale * image @ text.t()
        labels = self.torch.arange(image.shape[0], device=image.device)
        return (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.t(), labels)) / 2

    def make_contrastive(self, w):
        torch = self.torch
        normalize = torch.nn.functional.normalize
        image = normalize(self.uniform(w["batch"], w["columns"])).requires_grad_()
        text = normalize(self.uniform(w["batch"], w["columns"])).requires_grad_()
        scale = torch.tensor(1 / 0.07, device=DEVICE, requires_grad=True)

        def run():
            with torch.autocast(DEVICE, torch.bfloat16, enabled=w.get("precision") == "bf16"):
                loss = self.contrastive_loss(image, text, scale)
            loss.backward()
            image.grad = text.grad = scale.grad = None

        return run

    def make_clip_train(self, w):
        step, _ = self.clip_step(w, clips=False)
        return self.captured(step) if w.get("graph") else step

    def make_clip_trainer(self, w):
        """As a training loop has it: gradients clipped to norm 1, norm and loss told. With a graph these two are read after its launch."""
        step, told = self.clip_step(w, clips=True)
        if w.get("graph"):
            step = self.captured(step)

        def run():
            step()
            for value in told:
                value.item()

        return run

    def clip_step(self, w, clips):
        """A step of training, and where loss and norm of the last one are."""
        torch = self.torch
        model, images, ids = self.clip(w)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.1, fused=True, capturable=bool(w.get("graph")))
        told = []

        def step():
            with torch.autocast(DEVICE, torch.bfloat16, enabled=w.get("precision") == "bf16"):
                image, text = model(images, ids)
                loss = self.contrastive_loss(image, text, model.logit_scale.exp())
            loss.backward()
            if clips:
                told[:] = [torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0), loss.detach()]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return step, told

    def make_clip_infer(self, w):
        """The whole model in bfloat16, converted once, as for deployment."""
        torch = self.torch
        model, images, ids = self.clip(w)
        dtype = self.precision(w)
        model, images = model.to(dtype).eval(), images.to(dtype)

        def run():
            with torch.inference_mode():
                model(images, ids)

        return self.captured(run) if w.get("graph") else run

    def captured(self, run):
        """The launch of a CUDA graph of it."""
        torch = self.torch
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_RUNS):
                run()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            run()
        return graph.replay

    def clip(self, w):
        model = make_clip(self.torch, CLIP_SIZES[w["model"]]).to(DEVICE)
        size = CLIP_SIZES[w["model"]]
        images = self.uniform(w["batch"], 3, size["image"], size["image"])
        ids = self.torch.randint(4, size["vocabulary"] - 2, (w["batch"], size["context"]), device=DEVICE)
        ids[:, -1] = size["end"]
        return model, images, ids


CLIP_SIZES = {
    "vit_b32": dict(image=224, patch=32, vision=(768, 12, 12, 3072), text=(512, 12, 8, 2048), projection=512, vocabulary=49408, context=77, end=49407),
    "small": dict(image=64, patch=8, vision=(192, 6, 3, 768), text=(192, 6, 3, 768), projection=128, vocabulary=2000, context=32, end=3),
}


def make_clip(torch, size):
    """CLIP in plain modules: sizes, activation (quick GELU), norms and read-out as in our own model."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, width, heads, hidden):
            super().__init__()
            self.heads = heads
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

        def forward(self, x, causal):
            batch, tokens, width = x.shape
            query, key, value = self.qkv(self.norm1(x)).view(batch, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
            attended = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
            x = x + self.out(attended.transpose(1, 2).reshape(batch, tokens, width))
            hidden = self.up(self.norm2(x))
            return x + self.down(hidden * torch.sigmoid(1.702 * hidden))

    class Clip(nn.Module):
        def __init__(self):
            super().__init__()
            width, layers, heads, hidden = size["vision"]
            self.patches = nn.Conv2d(3, width, size["patch"], size["patch"], bias=False)
            self.class_token = nn.Parameter(torch.randn(width) * width ** -0.5)
            self.image_positions = nn.Parameter(torch.randn((size["image"] // size["patch"]) ** 2 + 1, width) * 0.02)
            self.norm_before, self.norm_image = nn.LayerNorm(width), nn.LayerNorm(width)
            self.image_blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
            self.image_projection = nn.Linear(width, size["projection"], bias=False)
            width, layers, heads, hidden = size["text"]
            self.words = nn.Embedding(size["vocabulary"], width)
            self.text_positions = nn.Parameter(torch.randn(size["context"], width) * 0.01)
            self.text_blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(layers))
            self.norm_text = nn.LayerNorm(width)
            self.text_projection = nn.Linear(width, size["projection"], bias=False)
            self.logit_scale = nn.Parameter(torch.tensor(2.6592))

        def forward(self, images, ids):
            x = self.patches(images).flatten(2).transpose(1, 2)
            x = torch.cat([self.class_token.to(x.dtype).expand(x.shape[0], 1, -1), x], 1) + self.image_positions
            x = self.norm_before(x)
            for block in self.image_blocks:
                x = block(x, False)
            image = self.image_projection(self.norm_image(x[:, 0]))
            t = self.words(ids) + self.text_positions
            for block in self.text_blocks:
                t = block(t, True)
            end = (ids == size["end"]).int().argmax(1)
            text = self.text_projection(self.norm_text(t[torch.arange(t.shape[0], device=t.device), end]))
            return functional.normalize(image, dim=-1), functional.normalize(text, dim=-1)

    return Clip()


def is_out_of_memory(error):
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def answer(peer, line):
    """The answer to one request; an error is an answer too."""
    try:
        request = json.loads(line)
        what = request.get("do")
        if what == "prepare":
            return peer.prepare(request["workload"], request.get("batchSeconds", 0.05))
        if what in ("info", "time", "release"):
            return getattr(peer, what)()
        return {"error": f"There is no request {what}."}
    except Exception as error:  # Whatever PyTorch throws is a result here.
        result = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:500], "outOfMemory": is_out_of_memory(error)}
    if hasattr(peer, "torch"):  # What a failed request held goes back; outside of the handler, where the exception no longer holds its frames.
        peer.run = None
        peer.torch.cuda.empty_cache()
    return result


def main():
    peer = DryRun() if "--dry-run" in sys.argv[1:] else Torch()
    for line in sys.stdin:
        print(json.dumps(answer(peer, line)), flush=True)


if __name__ == "__main__":
    main()
