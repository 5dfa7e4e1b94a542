using System.Diagnostics;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;

namespace MiniVlp.PtxSim.Driver;

/// <summary>
/// A shared library that exports the driver's functions under their names and hands each call on to a C# method of the same name. Its C
/// source, one line for each function, is written from the list of these methods and compiled by the system's <c>cc</c>.
/// </summary>
internal static unsafe class NativeShim
{
    /// <summary>Compiles, loads and connects the library; null with a reason where there is no compiler.</summary>
    public static nint Load(Type functions, string folder, out string reason)
    {
        MethodInfo[] methods = [.. functions.GetMethods(BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.Static).Where(m => m.GetCustomAttribute<UnmanagedCallersOnlyAttribute>() is not null)];
        string source = Path.Combine(folder, "stand-in-driver.c");
        string library = Path.Combine(folder, $"stand-in-driver-{Environment.ProcessId}.so");
        Directory.CreateDirectory(folder);
        File.WriteAllText(source + $".{Environment.ProcessId}", Source(methods));
        File.Move(source + $".{Environment.ProcessId}", source, overwrite: true);
        if (!Compile(source, library, out reason)) return 0;
        nint handle = NativeLibrary.Load(library);
        File.Delete(library);
        nint* table = (nint*)NativeLibrary.GetExport(handle, "stand_in_functions");
        for (int i = 0; i < methods.Length; i++) table[i] = methods[i].MethodHandle.GetFunctionPointer();
        return handle;
    }

    /// <summary>Every argument of the driver's functions is an integer or a pointer, so twelve words carry any call.</summary>
    private static string Source(MethodInfo[] methods)
    {
        StringBuilder text = new();
        text.AppendLine("/* Written by NativeShim.cs: each function of the driver calls the C# method of the same name. */")
            .AppendLine("typedef long word;")
            .AppendLine("typedef int (*function)(word, word, word, word, word, word, word, word, word, word, word, word);")
            .AppendLine($"function stand_in_functions[{methods.Length}];")
            .AppendLine("#define FORWARD(name, index) \\")
            .AppendLine("  int name(word a, word b, word c, word d, word e, word f, word g, word h, word i, word j, word k, word l) \\")
            .AppendLine("  { return stand_in_functions[index] ? stand_in_functions[index](a, b, c, d, e, f, g, h, i, j, k, l) : 100; }");
        for (int i = 0; i < methods.Length; i++) text.AppendLine($"FORWARD({methods[i].Name}, {i})");
        return text.ToString();
    }

    private static bool Compile(string source, string library, out string reason)
    {
        ProcessStartInfo start = new("cc", ["-shared", "-fPIC", "-O1", "-o", library, source]) { UseShellExecute = false, RedirectStandardError = true, RedirectStandardOutput = true };
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> output = process.StandardOutput.ReadToEndAsync();
            string errors = process.StandardError.ReadToEnd() + output.Result;
            process.WaitForExit();
            reason = process.ExitCode == 0 ? string.Empty : $"cc could not compile the stand-in driver: {errors.Trim()}";
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            reason = "there is no C compiler (cc) here to build the stand-in driver";
            return false;
        }
    }
}
