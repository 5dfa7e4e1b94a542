using System.Diagnostics;
using System.Runtime;
using MiniVlp.Data.Text;
using MiniVlp.Models;
using MiniVlp.Tensors;

namespace MiniVlp.Bench.Startup;

/// <summary>The measured process: what a program does from its start to its first embeddings, timed step by step.</summary>
internal static class Probe
{
    /// <summary>Runs the steps once.</summary>
    /// <param name="model">A folder of a CLIP.</param>
    /// <param name="device">cpu, or auto for the fastest device that works.</param>
    /// <param name="startedAt">When the parent started this process, by <see cref="Stopwatch.GetTimestamp"/>: one clock for all processes of a machine.</param>
    /// <returns>Milliseconds and compiled methods of each step.</returns>
    public static Start Run(string model, string device, long startedAt)
    {
        StepClock clock = new(startedAt);
        clock.Lap("runtime");
        Device target = device == "cpu" ? Device.Cpu : Device.Best;
        clock.Lap("device");
        using Clip clip = (Clip)Architectures.Load(model, target);
        clock.Lap("weights");
        TextTokenizer tokenizer = TextTokenizer.FromPretrained(model);
        (int[] ids, int[] mask) = tokenizer.EncodeBatch(["a red circle above a blue square"], clip.Config.ContextLength);
        clock.Lap("tokenizer");
        Text();
        clock.Lap("text 1");
        Text();
        clock.Lap("text 2");
        float[] pixels = new float[3 * clip.Config.ImageSize * clip.Config.ImageSize];
        for (int i = 0; i < pixels.Length; i++) pixels[i] = MathF.Sin(i);
        Picture();
        clock.Lap("picture 1");
        Picture();
        clock.Lap("picture 2");
        List<double> warm = [];
        long until = Stopwatch.GetTimestamp() + (Stopwatch.Frequency / 3);
        while (Stopwatch.GetTimestamp() < until || warm.Count < 5)
        {
            long start = Stopwatch.GetTimestamp();
            Picture();
            warm.Add(Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        warm.Sort();
        return new Start(clock.Steps, warm[warm.Count / 2]);

        void Text()
        {
            using TensorScope scope = new();
            clip.EncodeText(new TextBatch(IndexTensor.FromArray(ids, [1, ids.Length], target), IndexTensor.FromArray(mask, [1, ids.Length], target))).ToArray();
        }

        void Picture()
        {
            using TensorScope scope = new();
            clip.EncodeImage(Tensor.FromArray(pixels, [1, 3, clip.Config.ImageSize, clip.Config.ImageSize], target)).ToArray();
        }
    }

    /// <summary>Wall time, and the work of the just-in-time compiler on all threads, between two laps.</summary>
    private sealed class StepClock(long last)
    {
        private readonly List<Step> _steps = [];
        private long _last = last, _methods;
        private double _compiling;

        public IReadOnlyList<Step> Steps => _steps;

        public void Lap(string step)
        {
            long now = Stopwatch.GetTimestamp(), methods = JitInfo.GetCompiledMethodCount();
            double compiling = JitInfo.GetCompilationTime().TotalMilliseconds;
            _steps.Add(new Step(step, Stopwatch.GetElapsedTime(_last, now).TotalMilliseconds, compiling - _compiling, methods - _methods));
            (_last, _methods, _compiling) = (Stopwatch.GetTimestamp(), methods, compiling);
        }
    }
}
