using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;
using MiniVlp.PtxSim.Machine;

namespace MiniVlp.PtxSim.Driver;

/// <content>Modules, functions, launches.</content>
public static unsafe partial class StandInDriver
{
    private const int DefaultDynamicShared = 48 << 10;
    private const int MaxDynamicSharedAttribute = 8;
    private static readonly ConcurrentDictionary<nint, Module> Modules = new();
    private static readonly ConcurrentDictionary<nint, Function> Functions = new();

    /// <summary>The PTX of the last module that was loaded.</summary>
    public static string? LastModule { get; private set; }

    [UnmanagedCallersOnly]
    internal static int cuModuleLoadData(nint* module, byte* image) => LoadModule(module, image, 0, null, null);

    [UnmanagedCallersOnly]
    internal static int cuModuleLoadDataEx(nint* module, byte* image, uint count, int* options, nint* values) => LoadModule(module, image, count, options, values);

    [UnmanagedCallersOnly]
    internal static int cuModuleUnload(nint module) => Modules.TryRemove(module, out _) ? Success : InvalidHandle;

    [UnmanagedCallersOnly]
    internal static int cuModuleGetFunction(nint* function, nint module, byte* name)
    {
        if (!Modules.TryGetValue(module, out Module? found)) return InvalidHandle;
        string text = Marshal.PtrToStringUTF8((nint)name)!;
        if (found.Kernels.FirstOrDefault(kernel => kernel.Name == text) is not { } kernel) return NotFound;
        Functions[*function = NewHandle()] = new Function(kernel);
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuFuncSetAttribute(nint function, int attribute, int value)
    {
        if (!Functions.TryGetValue(function, out Function? found)) return InvalidHandle;
        if (attribute != MaxDynamicSharedAttribute) return Success;
        if (value + found.Kernel.StaticSharedBytes > SharedPerGroupOptIn) return InvalidValue;
        found.MaxDynamicShared = value;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuFuncGetAttribute(int* value, int attribute, nint function)
    {
        if (!Functions.TryGetValue(function, out Function? found)) return InvalidHandle;
        *value = attribute switch { 0 => 1024, 1 => found.Kernel.StaticSharedBytes, 3 => found.Kernel.LocalBytes, 4 => 32, MaxDynamicSharedAttribute => found.MaxDynamicShared, _ => 0 };
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuFuncSetCacheConfig(nint function, int config) => Success;

    [UnmanagedCallersOnly]
    internal static int cuOccupancyMaxActiveBlocksPerMultiprocessor(int* groups, nint function, int threads, nuint dynamicShared)
    {
        *groups = Math.Max(1, 2048 / Math.Max(threads, 1));
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuOccupancyMaxPotentialBlockSize(int* groups, int* threads, nint function, nint callback, nuint dynamicShared, int limit)
    {
        *groups = 132;
        *threads = 256;
        return Success;
    }

    [UnmanagedCallersOnly]
    internal static int cuLaunchKernel(nint function, uint groupsX, uint groupsY, uint groupsZ, uint threadsX, uint threadsY, uint threadsZ, uint dynamicShared, nint stream, nint* parameters, nint* extra)
    {
        if (!Functions.TryGetValue(function, out Function? found)) return InvalidHandle;
        LaunchCount++;
        try
        {
            if (groupsX == 0 || groupsY == 0 || groupsZ == 0 || groupsY > 65535 || groupsZ > 65535 || (long)threadsX * threadsY * threadsZ is 0 or > 1024) return Fail(InvalidValue, $"{found.Kernel.Name}: {groupsX} x {groupsY} x {groupsZ} groups of {threadsX} x {threadsY} x {threadsZ} threads");
            if (dynamicShared > found.MaxDynamicShared) return Fail(InvalidValue, $"{found.Kernel.Name}: {dynamicShared} bytes of dynamic shared memory, {found.MaxDynamicShared} allowed (cuFuncSetAttribute)");
            byte[] arguments = parameters is not null ? Packed(found.Kernel, parameters) : PackedAlready(found.Kernel, extra);
            KernelLaunch launch = new(new Dim3((int)groupsX, (int)groupsY, (int)groupsZ), new Dim3((int)threadsX, (int)threadsY, (int)threadsZ), (int)dynamicShared, arguments);
            return OnStream(stream, () => RunNow(found.Kernel, launch));
        }
        catch (SimulationException exception)
        {
            return Fail(InvalidValue, exception.Message);
        }
    }

    private static int RunNow(SimulatedKernel kernel, KernelLaunch launch)
    {
        try
        {
            OnLaunch?.Invoke(kernel, launch);
            LastStatistics = kernel.Run(Memory, launch, Options);
            return Success;
        }
        catch (SimulationException exception)
        {
            return Fail(LaunchFailed, exception.Message);
        }
        catch (Exception exception) when (exception is not OutOfMemoryException)
        {
            return Fail(LaunchFailed, $"{kernel.Name}: the simulator failed: {exception}");
        }
    }

    private static int Fail(int error, string message)
    {
        LastFailure = message;
        _lastError = error;
        return error;
    }

    /// <summary>Arguments from an array of pointers, one for each parameter.</summary>
    private static byte[] Packed(SimulatedKernel kernel, nint* parameters)
    {
        byte[] arguments = new byte[kernel.ParameterBytes];
        for (int i = 0; i < kernel.Parameters.Count; i++)
            new ReadOnlySpan<byte>((void*)parameters[i], kernel.Parameters[i].Bytes).CopyTo(arguments.AsSpan(kernel.Parameters[i].Offset));
        return arguments;
    }

    /// <summary>Arguments that come in one buffer (CU_LAUNCH_PARAM_BUFFER_POINTER and _SIZE).</summary>
    private static byte[] PackedAlready(SimulatedKernel kernel, nint* extra)
    {
        void* buffer = null;
        long size = 0;
        for (int i = 0; extra is not null && extra[i] != 0; i += 2)
        {
            if (extra[i] == 1) buffer = (void*)extra[i + 1];
            else if (extra[i] == 2) size = *(long*)extra[i + 1];
        }

        if (size < kernel.ParameterBytes) throw new SimulationException($"{kernel.Name}: {size} bytes of arguments for {kernel.ParameterBytes} bytes of parameters");
        return new ReadOnlySpan<byte>(buffer, (int)size).ToArray();
    }

    private static int LoadModule(nint* module, byte* image, uint count, int* options, nint* values)
    {
        try
        {
            if (image[0] == 0x7f) return 209;
            string text = Marshal.PtrToStringUTF8((nint)image)!;
            if (OnModule is { } rewrite) text = rewrite(text);
            LastModule = text;
            Modules[*module = NewHandle()] = new Module(SimulatedKernel.Load(text));
            Log(count, options, values, 3, string.Empty);
            Log(count, options, values, 5, string.Empty);
            return Success;
        }
        catch (SimulationException exception)
        {
            Log(count, options, values, 5, exception.Message);
            return Fail(InvalidPtx, exception.Message);
        }
    }

    /// <summary>Writes into a log buffer of the caller: option 3 and its size 4 for information, 5 and 6 for errors.</summary>
    private static void Log(uint count, int* options, nint* values, int option, string message)
    {
        byte* buffer = null;
        int size = 0, sizeAt = -1;
        for (int i = 0; i < count; i++)
        {
            if (options[i] == option) buffer = (byte*)values[i];
            if (options[i] != option + 1) continue;
            size = (int)values[i];
            sizeAt = i;
        }

        if (buffer is null || size == 0) return;
        byte[] bytes = Encoding.UTF8.GetBytes(message);
        int length = Math.Min(bytes.Length, size - 1);
        bytes.AsSpan(0, length).CopyTo(new Span<byte>(buffer, length));
        buffer[length] = 0;
        values[sizeAt] = length;
    }

    private sealed record Module(IReadOnlyList<SimulatedKernel> Kernels);

    private sealed class Function(SimulatedKernel kernel)
    {
        public SimulatedKernel Kernel => kernel;

        public int MaxDynamicShared { get; set; } = DefaultDynamicShared;
    }
}
