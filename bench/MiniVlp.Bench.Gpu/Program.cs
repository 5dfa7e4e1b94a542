// What bench/gpu/run starts on the machine with the GPU:
//   serve --device cuda                            answers requests on standard input; see Worker
//   kernels --device cuda --log FILE               loads every kernel through the driver and keeps its log
//   report FILE --json OUT --markdown OUT          ratios, verdicts and the table of a run
using MiniVlp.Bench.Gpu;
using MiniVlp.Tensors;

const string Usage = "MiniVlp.Bench.Gpu serve --device cuda|opencl|ilgpu-cpu|cpu | report FILE --json OUT --markdown OUT";
switch (args)
{
    case ["serve", "--device", string name]:
        using (Worker worker = new(Open(name)))
        {
            worker.Serve(Console.In, Console.Out);
        }

        return 0;
    case ["report", string file, "--json", string json, "--markdown", string markdown]:
        RunReport report = RunReport.Read(File.ReadAllText(file));
        File.WriteAllText(json, report.ToJson());
        File.WriteAllText(markdown, report.ToMarkdown());
        return 0;
    default:
        Console.Error.WriteLine(Usage);
        return 2;
}

static Device Open(string name) => name switch
{
    "cuda" => Device.Cuda(),
    "opencl" => Device.OpenCl(),
    "ilgpu-cpu" => Device.IlgpuCpu(),
    _ => Device.Cpu,
};
