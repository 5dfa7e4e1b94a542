// From the plainest kernel to the product's own, step by step: a matrix product and an attention. See docs/kernels-ladder.md.
//
//   dotnet run -c Release --project bench/KernelLadder -- --device cpu
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

IBackend device;
try
{
    device = options.CreateDevice();
}
catch (PlatformNotSupportedException exception)
{
    Console.Error.WriteLine(exception.Message);
    return 2;
}

using (device)
{
    bool isGpu = options.Device == "cuda" || (options.Device == "opencl" && GpuSearch.Find().Devices.Any(found => found is { Kind: "opencl", Index: 0, IsGpu: true }));
    options = options.WithSizesFor(isGpu);
    string name = device is GpuBackend gpu ? gpu.DeviceName : "one thread";
    if (!options.Json) Console.WriteLine($"{device.Name}: {name}");
    List<LadderRow> rows = [];
    foreach (Ladder made in options.Ladders(device))
    {
        using Ladder ladder = made;
        IReadOnlyList<LadderRow> measured = ladder.Measure();
        rows.AddRange(measured);
        if (options.Json) continue;
        Console.WriteLine();
        Console.WriteLine(ladder.Name);
        Console.WriteLine(LadderRow.Header);
        foreach (LadderRow row in measured) Console.WriteLine(row.ToString());
    }

    if (options.Json) Console.WriteLine(JsonSerializer.Serialize(new { device = device.Name, name, rows }, new JsonSerializerOptions(JsonSerializerDefaults.Web) { WriteIndented = true }));
    return rows.TrueForAll(row => row.IsRight) ? 0 : 1;
}
