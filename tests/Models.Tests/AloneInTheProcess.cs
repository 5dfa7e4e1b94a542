using Xunit;

namespace MiniVlp.Models.Tests;

/// <summary>Tests that measure the memory of the whole process, to which any test beside them would add.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneInTheProcess
{
    public const string Name = "alone in the process";
}
