using MiniVlp.Kernels;
using MiniVlp.Tensors;
using MiniVlp.Tensors.Safetensors;

namespace MiniVlp.Nn.Optimizers;

/// <summary>
/// Changes parameters by their gradients. State (moments, velocities) is made at the first gradient of a parameter, so that frozen ones
/// take no memory, and is saved under the parameter's full name: resuming is bit-exact.
/// </summary>
public abstract class Optimizer : IDisposable
{
    private readonly Dictionary<Parameter, Slot> _slots = [];
    private readonly List<(ParameterGroup Group, string Name, Parameter Parameter)> _parameters = [];
    private readonly List<ParameterStep> _steps = [];

    private protected Optimizer(IEnumerable<ParameterGroup> groups, double learningRate, params string[] stateNames)
    {
        Groups = [.. groups];
        LearningRate = learningRate;
        StateNames = stateNames;
        HashSet<Parameter> seen = [];
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach (ParameterGroup group in Groups)
        {
            foreach ((string name, Parameter parameter) in group.Parameters)
            {
                if (!seen.Add(parameter)) throw new ArgumentException($"The parameter '{name}' is in two groups.", nameof(groups));
                if (!names.Add(name)) throw new ArgumentException($"Two parameters have the name '{name}'.", nameof(groups));
                _parameters.Add((group, name, parameter));
            }
        }
    }

    /// <summary>What is treated alike.</summary>
    public IReadOnlyList<ParameterGroup> Groups { get; }

    /// <summary>Step size of the next step, before the groups' multipliers; set it from a <see cref="LearningRateSchedule"/>.</summary>
    public double LearningRate { get; set; }

    /// <summary>
    /// Moments and the like under <c>exp_avg.encoder.layer.0.weight</c>, and under <c>step.…</c> how many steps a parameter has seen; only
    /// parameters that have had a gradient are there.
    /// </summary>
    public IEnumerable<(string Name, Tensor Value)> State
    {
        get
        {
            foreach ((_, string name, Parameter parameter) in _parameters)
            {
                if (!_slots.TryGetValue(parameter, out Slot? slot)) continue;
                for (int i = 0; i < StateNames.Count; i++) yield return ($"{StateNames[i]}.{name}", slot.Tensors[i]);
                yield return ($"{StepName}.{name}", slot.StepTensor);
            }
        }
    }

    /// <summary>Names of the tensors that each parameter has, as PyTorch spells them.</summary>
    protected IReadOnlyList<string> StateNames { get; }

    private static string StepName => "step";

    /// <summary>Changes every trainable parameter that has a gradient; gradients stay until <see cref="ClearGradients"/>.</summary>
    public void Step()
    {
        foreach ((ParameterGroup group, _, Parameter parameter) in _parameters)
        {
            if (!parameter.IsTrainable || !parameter.IsInitialized || parameter.Gradient is not { } gradient) continue;
            Slot slot = SlotOf(parameter);
            slot.Step++;
            _steps.Add(new ParameterStep(parameter.Value, gradient, slot.Tensors, slot.Step, LearningRate * group.LearningRateMultiplier, group.WeightDecay));
        }

        foreach (IGrouping<IBackend, ParameterStep> steps in _steps.GroupBy(step => step.Value.Device.Backend)) Update(steps.Key, [.. steps]);
        _steps.Clear();
    }

    /// <summary>Forgets the gradients of all parameters and keeps their memory.</summary>
    public void ClearGradients()
    {
        foreach ((_, _, Parameter parameter) in _parameters) parameter.ClearGradient();
    }

    /// <summary>Scales all gradients down so that together they are no longer than <paramref name="maxNorm"/>, see <see cref="GradientClipping"/>.</summary>
    /// <returns>Their norm before.</returns>
    public double ClipByGlobalNorm(double maxNorm) => GradientClipping.ClipByGlobalNorm(_parameters.Select(p => p.Parameter), maxNorm);

    /// <summary>Writes <see cref="State"/> to a safetensors file, under a temporary name until it is complete.</summary>
    /// <param name="path">The file; its folder exists.</param>
    public void Save(string path)
    {
        (string Name, Tensor Value)[] state = [.. State];
        using SafetensorsWriter writer = SafetensorsWriter.Create(path);
        foreach ((string name, Tensor value) in state) writer.Declare(name, SafetensorsDtype.F32, value.Shape.ToArray());
        foreach ((string name, Tensor value) in state) writer.Write(name, value.ToArray());
        writer.Complete();
    }

    /// <summary>Replaces the state by what <see cref="Save"/> wrote for the same parameters.</summary>
    /// <param name="path">The file.</param>
    /// <exception cref="InvalidDataException">Names or shapes do not fit; all misfits are listed.</exception>
    public void Load(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        HashSet<string> unknown = [.. file.Entries.Keys];
        List<string> misfits = [];
        List<(Parameter Parameter, string Name)> found = [];
        foreach ((_, string name, Parameter parameter) in _parameters)
        {
            (string Name, Shape Shape)[] expected = [.. StateNames.Select(state => ($"{state}.{name}", parameter.Shape)), ($"{StepName}.{name}", (Shape)[])];
            if (!expected.Any(e => file.Entries.ContainsKey(e.Name))) continue;
            found.Add((parameter, name));
            foreach ((string stateName, Shape shape) in expected)
            {
                if (!unknown.Remove(stateName)) misfits.Add($"'{stateName}' is missing");
                else if (!file.Entry(stateName).Shape.SequenceEqual(shape.ToArray().Select(size => (long)size)))
                    misfits.Add($"'{stateName}' must have the shape {shape}, but has [{string.Join(", ", file.Entry(stateName).Shape)}]");
            }
        }

        misfits.AddRange(unknown.Order(StringComparer.Ordinal).Select(name => $"'{name}' belongs to no parameter"));
        if (misfits.Count > 0) throw new InvalidDataException($"{path} is not the state of this optimizer: {string.Join("; ", misfits)}.");

        ReleaseState();
        float[] step = new float[1];
        foreach ((Parameter parameter, string name) in found)
        {
            Slot slot = SlotOf(parameter);
            for (int i = 0; i < StateNames.Count; i++)
            {
                float[] values = new float[parameter.Shape.Length];
                file.ReadFloat32($"{StateNames[i]}.{name}", values);
                slot.Tensors[i].CopyFrom(values);
            }

            file.ReadFloat32($"{StepName}.{name}", step);
            slot.Step = (int)step[0];
        }
    }

    /// <summary>Gives the memory of the state back; the parameters stay.</summary>
    public void Dispose()
    {
        ReleaseState();
        GC.SuppressFinalize(this);
    }

    /// <summary>One step of parameters that lie on one device.</summary>
    private protected abstract void Update(IBackend backend, IReadOnlyList<ParameterStep> steps);

    private Slot SlotOf(Parameter parameter)
    {
        Device device = parameter.Value.Device;
        if (_slots.TryGetValue(parameter, out Slot? slot) && ReferenceEquals(slot.Device, device)) return slot;
        Slot made = new([.. StateNames.Select(_ => Tensor.CreatePersistent(parameter.Shape, device))], Tensor.CreatePersistent([], device));
        if (slot is not null)
        {
            // The parameter moved to another device, and its state follows.
            for (int i = 0; i < StateNames.Count; i++) made.Tensors[i].CopyFrom(slot.Tensors[i].ToArray());
            made.Step = slot.Step;
            slot.Release();
        }

        return _slots[parameter] = made;
    }

    private void ReleaseState()
    {
        foreach (Slot slot in _slots.Values) slot.Release();
        _slots.Clear();
    }

    /// <summary>One step of one parameter.</summary>
    /// <param name="Value">The parameter, changed in place.</param>
    /// <param name="Gradient">Its gradient.</param>
    /// <param name="State">Its tensors in the order of <see cref="StateNames"/>, zeros at first, changed in place.</param>
    /// <param name="Number">1 in the first step of this parameter.</param>
    /// <param name="LearningRate">Step size.</param>
    /// <param name="WeightDecay">Strength of the weight decay.</param>
    private protected readonly record struct ParameterStep(
        Tensor Value, Tensor Gradient, IReadOnlyList<Tensor> State, int Number, double LearningRate, double WeightDecay);

    private sealed class Slot(Tensor[] tensors, Tensor stepTensor)
    {
        public Tensor[] Tensors => tensors;

        public Device Device => stepTensor.Device;

        /// <summary>The number of steps as it is saved, brought up to date when it is asked for.</summary>
        public Tensor StepTensor
        {
            get
            {
                stepTensor.CopyFrom([Step]);
                return stepTensor;
            }
        }

        public int Step { get; set; }

        public void Release()
        {
            foreach (Tensor tensor in tensors) tensor.Dispose();
            stepTensor.Dispose();
        }
    }
}
