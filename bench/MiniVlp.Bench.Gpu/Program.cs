// What bench/gpu/run starts on the machine with the GPU:
//   serve --device cuda                            answers requests on standard input; see Worker
//   kernels --device cuda --log FILE               loads every kernel through the driver and keeps its log
//   profile --device cuda --workload JSON          one run of a workload (a line of bench/gpu/run --list), the time of each kernel
//   report FILE --json OUT --markdown OUT          ratios, verdicts and the table of a run
using MiniVlp.Bench.Gpu;
using MiniVlp.Kernels;
using MiniVlp.Tensors;

const string Usage = "MiniVlp.Bench.Gpu serve --device cuda|opencl|ilgpu-cpu|cpu | kernels --device cuda|opencl|ilgpu-cpu --log FILE | profile --device cuda|opencl|ilgpu-cpu --workload JSON | report FILE --json OUT --markdown OUT";
switch (args)
{
    case ["serve", "--device", string name]:
        using (Worker worker = new(Open(name)))
        {
            worker.Serve(Console.In, Console.Out);
        }

        return 0;
    case ["kernels", "--device", string name, "--log", string path] when name is not "cpu":
        using (StreamWriter log = File.CreateText(path))
        {
            (string summary, bool isComplete) = KernelLoading.LoadAll((GpuBackend)Open(name).Backend, log);
            Console.WriteLine(summary);
            return isComplete ? 0 : 1;
        }

    case ["profile", "--device", string name, "--workload", string workload] when name is not "cpu":
        Console.Write(Worker.Profile(Open(name), workload));
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
