using BenchmarkDotNet.Running;
using MiniVlp.Bench;

BenchmarkSwitcher.FromAssembly(typeof(WorkloadBenchmarks).Assembly).Run(args);
