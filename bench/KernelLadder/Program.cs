// From the plainest kernel to the product's own, step by step: a matrix product and an attention. See docs/kernels-ladder.md.
//
//   dotnet run -c Release --project bench/KernelLadder -- --device opencl
using System.Text.Json;
using MiniVlp.KernelLadder;
using MiniVlp.Kernels;

Options options;
try
{
    options = Options.Parse(args);
}
catch (ArgumentException exception)
{
    Console.Error.WriteLine(exception.Message);
    Console.Error.WriteLine(Options.Usage);
    return 2;
}

GpuBackend gpu;
try
{
    gpu = options.CreateDevice();
}
catch (PlatformNotSupportedException exception)
{
    Console.Error.WriteLine(exception.Message);
    return 2;
}

using (gpu)
{
    bool isGpu = options.Device == "cuda" || (options.Device == "opencl" && GpuSearch.Find().Devices.Any(device => device is { Kind: "opencl", Index: 0, IsGpu: true }));
    options = options.WithSizesFor(isGpu);
    if (!options.Json) Console.WriteLine($"{gpu.Name}: {gpu.DeviceName}");
    List<LadderRow> rows = [];
    foreach (Func<Ladder> create in (Func<Ladder>[])[() => new MatMulLadder(gpu, options.Size), () => new AttentionLadder(gpu, options.Tokens, options.Heads)])
    {
        using Ladder ladder = create();
        IReadOnlyList<LadderRow> measured = ladder.Measure();
        rows.AddRange(measured);
        if (options.Json) continue;
        Console.WriteLine();
        Console.WriteLine(ladder.Name);
        Console.WriteLine(LadderRow.Header);
        foreach (LadderRow row in measured) Console.WriteLine(row.ToString());
    }

    if (options.Json) Console.WriteLine(JsonSerializer.Serialize(new { device = gpu.Name, name = gpu.DeviceName, rows }, new JsonSerializerOptions(JsonSerializerDefaults.Web) { WriteIndented = true }));
    return rows.TrueForAll(row => row.IsRight) ? 0 : 1;
}
