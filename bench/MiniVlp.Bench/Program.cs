using BenchmarkDotNet.Running;
using MiniVlp.Bench;

// growth ROWS FOLDER CAPTION draws what bench/cpu/run --growth measured; everything else is BenchmarkDotNet's.
if (args is ["growth", string rows, string folder, string caption]) GrowthPlots.Draw(rows, folder, caption);
else BenchmarkSwitcher.FromAssembly(typeof(WorkloadBenchmarks).Assembly).Run(args);
