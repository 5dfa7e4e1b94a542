using System.Runtime.InteropServices;
using MiniVlp.Cli;

// The first Ctrl+C or SIGTERM asks the command to save and stop; the second one is the system's.
using CancellationTokenSource interrupt = new();
using PosixSignalRegistration onInterrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using PosixSignalRegistration onTerminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
return Tool.Run(args, Console.Out, Console.Error, interrupt.Token);

void Stop(PosixSignalContext context)
{
    context.Cancel = !interrupt.IsCancellationRequested;
    interrupt.Cancel();
}
