namespace MiniVlp.Tensors;

/// <summary>
/// Owns every tensor that is created on its thread while it is the innermost scope, and gives their memory back when it is disposed.
/// Scopes nest; <see cref="Keep{T}"/> hands a tensor to the scope outside. A scope belongs to one thread and does not cross an await.
/// </summary>
public class TensorScope : IDisposable
{
    [ThreadStatic]
    private static TensorScope? _current;

    /// <summary>Lists of closed scopes, for the next ones: a step opens the same scopes as the one before.</summary>
    [ThreadStatic]
    private static Stack<List<IDisposable>>? _spareLists;

    private readonly List<IDisposable> _owned = _spareLists?.TryPop(out List<IDisposable>? spare) == true ? spare : [];
    private readonly TensorScope? _outer;
    private bool _disposed;

    /// <summary>Opens a scope inside the current one of this thread.</summary>
    public TensorScope()
    {
        _outer = _current;
        _current = this;
    }

    /// <summary>The innermost open scope of this thread, or null: then new tensors belong to nobody and are freed by the garbage collector.</summary>
    public static TensorScope? Current => _current;

    /// <summary>
    /// Hands a tensor of this scope to the scope outside (or to the caller, when there is none) and returns it; with a view goes the tensor
    /// that it looks at.
    /// </summary>
    /// <typeparam name="T"><see cref="Tensor"/> or <see cref="IndexTensor"/>.</typeparam>
    public T Keep<T>(T tensor)
        where T : class, IDisposable
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        HandOut(tensor);
        if (tensor is Tensor { ViewOf: { } source }) HandOut(source);
        if (tensor is IndexTensor { ViewOf: { } indices }) HandOut(indices);
        return tensor;
    }

    /// <summary>
    /// Takes a tensor with memory of its own out of the innermost scope of this thread, so that it outlives every scope; whoever asked
    /// disposes of it.
    /// </summary>
    /// <typeparam name="T"><see cref="Tensor"/> or <see cref="IndexTensor"/>.</typeparam>
    /// <exception cref="ArgumentException">The tensor is a view: the memory would still go with the scope.</exception>
    public static T Release<T>(T tensor)
        where T : class, IDisposable
    {
        if (tensor is Tensor { ViewOf: not null } or IndexTensor { ViewOf: not null })
            throw new ArgumentException("Release: a view has no memory of its own; release the tensor that it looks at.", nameof(tensor));
        if (_current is { } scope) scope.Forget(tensor);
        return tensor;
    }

    /// <summary>Gives the memory of all owned tensors back and makes the scope outside the current one.</summary>
    /// <exception cref="InvalidOperationException">A scope inside this one is still open.</exception>
    public void Dispose()
    {
        if (_disposed) return;
        if (!ReferenceEquals(_current, this)) throw new InvalidOperationException("Scopes close in reverse order on the thread that opened them.");
        _disposed = true;
        Closing();
        foreach (IDisposable tensor in _owned) tensor.Dispose();
        _owned.Clear();
        (_spareLists ??= new()).Push(_owned);
        _current = _outer;
        GC.SuppressFinalize(this);
    }

    internal void Own(IDisposable tensor)
    {
        ObjectDisposedException.ThrowIf(_disposed, this);
        _owned.Add(tensor);
    }

    private void HandOut(IDisposable tensor)
    {
        if (Forget(tensor)) _outer?.Own(tensor);
    }

    /// <summary>Owns a tensor no longer; false when it did not.</summary>
    private bool Forget(IDisposable tensor)
    {
        for (int i = _owned.Count - 1; i >= 0; i--)
        {
            if (!ReferenceEquals(_owned[i], tensor)) continue;
            _owned.RemoveAt(i);
            return true;
        }

        return false;
    }

    /// <summary>What a derived scope has to do before its tensors go.</summary>
    protected virtual void Closing()
    {
    }
}
