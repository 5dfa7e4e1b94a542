using MiniVlp.PtxSim.Driver;
using Xunit;

namespace MiniVlp.PtxSim.Tests;

/// <summary>Tests on the stand-in driver, which is one for the process and keeps what its last launch did: they run one after the other.</summary>
[CollectionDefinition(nameof(StandInDriver), DisableParallelization = true)]
public sealed class StandInDriverCollection;
