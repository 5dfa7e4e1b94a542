using System.Numerics;
using MiniVlp.PtxSim.Machine;

namespace MiniVlp.PtxSim.Instructions;

/// <summary>A function of one value, as a type so that the loop over lanes is compiled for it.</summary>
internal interface IUnaryOperation<TSource, TResult>
{
    static abstract TResult Apply(TSource x);
}

/// <summary>A function of two values.</summary>
internal interface IBinaryOperation<TFirst, TSecond, TResult>
{
    static abstract TResult Apply(TFirst x, TSecond y);
}

/// <summary>A function of three values.</summary>
internal interface ITernaryOperation<TFirst, TSecond, TThird, TResult>
{
    static abstract TResult Apply(TFirst x, TSecond y, TThird z);
}

/// <summary>A comparison.</summary>
internal interface IComparison<T>
{
    static abstract bool Apply(T x, T y);
}

/// <summary>One operand, lane by lane; operands are offsets in the register file.</summary>
internal sealed unsafe class UnaryInstruction<TSource, TResult, TOperation>(int destination, int source) : Instruction
    where TSource : unmanaged
    where TResult : unmanaged
    where TOperation : struct, IUnaryOperation<TSource, TResult>
{
    public override void Execute(Warp warp, uint mask)
    {
        TSource* x = (TSource*)(warp.Registers + source);
        TResult* result = (TResult*)(warp.Registers + destination);
        if (mask == uint.MaxValue)
        {
            for (int i = 0; i < 32; i++) result[i] = TOperation.Apply(x[i]);
            return;
        }

        for (; mask != 0; mask &= mask - 1)
        {
            int i = BitOperations.TrailingZeroCount(mask);
            result[i] = TOperation.Apply(x[i]);
        }
    }
}

/// <summary>Two operands, lane by lane.</summary>
internal sealed unsafe class BinaryInstruction<TFirst, TSecond, TResult, TOperation>(int destination, int first, int second) : Instruction
    where TFirst : unmanaged
    where TSecond : unmanaged
    where TResult : unmanaged
    where TOperation : struct, IBinaryOperation<TFirst, TSecond, TResult>
{
    public override void Execute(Warp warp, uint mask)
    {
        TFirst* x = (TFirst*)(warp.Registers + first);
        TSecond* y = (TSecond*)(warp.Registers + second);
        TResult* result = (TResult*)(warp.Registers + destination);
        if (mask == uint.MaxValue)
        {
            for (int i = 0; i < 32; i++) result[i] = TOperation.Apply(x[i], y[i]);
            return;
        }

        for (; mask != 0; mask &= mask - 1)
        {
            int i = BitOperations.TrailingZeroCount(mask);
            result[i] = TOperation.Apply(x[i], y[i]);
        }
    }
}

/// <summary>Three operands, lane by lane.</summary>
internal sealed unsafe class TernaryInstruction<TFirst, TSecond, TThird, TResult, TOperation>(int destination, int first, int second, int third) : Instruction
    where TFirst : unmanaged
    where TSecond : unmanaged
    where TThird : unmanaged
    where TResult : unmanaged
    where TOperation : struct, ITernaryOperation<TFirst, TSecond, TThird, TResult>
{
    public override void Execute(Warp warp, uint mask)
    {
        TFirst* x = (TFirst*)(warp.Registers + first);
        TSecond* y = (TSecond*)(warp.Registers + second);
        TThird* z = (TThird*)(warp.Registers + third);
        TResult* result = (TResult*)(warp.Registers + destination);
        if (mask == uint.MaxValue)
        {
            for (int i = 0; i < 32; i++) result[i] = TOperation.Apply(x[i], y[i], z[i]);
            return;
        }

        for (; mask != 0; mask &= mask - 1)
        {
            int i = BitOperations.TrailingZeroCount(mask);
            result[i] = TOperation.Apply(x[i], y[i], z[i]);
        }
    }
}

/// <summary>setp: a comparison whose results become the bits of a predicate.</summary>
internal sealed unsafe class CompareInstruction<T, TComparison>(int destination, int first, int second) : Instruction
    where T : unmanaged
    where TComparison : struct, IComparison<T>
{
    public override void Execute(Warp warp, uint mask)
    {
        T* x = (T*)(warp.Registers + first);
        T* y = (T*)(warp.Registers + second);
        uint bits = 0;
        for (int i = 0; i < 32; i++) bits |= TComparison.Apply(x[i], y[i]) ? 1u << i : 0;
        uint* predicate = (uint*)(warp.Registers + destination);
        *predicate = (*predicate & ~mask) | (bits & mask);
    }
}

/// <summary>selp: the first operand where a predicate holds, else the second.</summary>
internal sealed unsafe class SelectInstruction<T>(int destination, int first, int second, int predicate, bool isNegated) : Instruction
    where T : unmanaged
{
    public override void Execute(Warp warp, uint mask)
    {
        T* x = (T*)(warp.Registers + first);
        T* y = (T*)(warp.Registers + second);
        T* result = (T*)(warp.Registers + destination);
        uint choice = *(uint*)(warp.Registers + predicate);
        if (isNegated) choice = ~choice;
        for (int i = 0; i < 32; i++) if ((mask >> i & 1) != 0) result[i] = (choice >> i & 1) != 0 ? x[i] : y[i];
    }
}

/// <summary>A function of up to four operands of 32 or 64 bits, for what is rare: narrow types, packed types, bit fields.</summary>
internal sealed unsafe class FunctionInstruction(int destination, int destinationWidth, (int Offset, int Width)[] sources, Func<ulong, ulong, ulong, ulong> function) : Instruction
{
    public override void Execute(Warp warp, uint mask)
    {
        for (; mask != 0; mask &= mask - 1)
        {
            int lane = BitOperations.TrailingZeroCount(mask);
            ulong value = function(Load(0), Load(1), Load(2));
            if (destinationWidth == 8) ((ulong*)(warp.Registers + destination))[lane] = value;
            else ((uint*)(warp.Registers + destination))[lane] = (uint)value;

            ulong Load(int index)
            {
                if (index >= sources.Length) return 0;
                (int offset, int width) = sources[index];
                return width == 8 ? ((ulong*)(warp.Registers + offset))[lane] : ((uint*)(warp.Registers + offset))[lane];
            }
        }
    }
}

/// <summary>A function of predicates, all lanes at once.</summary>
internal sealed unsafe class PredicateInstruction(int destination, int first, int second, Func<uint, uint, uint> function) : Instruction
{
    public override void Execute(Warp warp, uint mask)
    {
        uint bits = function(*(uint*)(warp.Registers + first), *(uint*)(warp.Registers + second));
        uint* predicate = (uint*)(warp.Registers + destination);
        *predicate = (*predicate & ~mask) | (bits & mask);
    }
}
