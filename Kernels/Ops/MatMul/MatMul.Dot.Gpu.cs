using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>Most rows of A that are multiplied by dot products, and columns of C that one group computes.</summary>
    private const int MostDotRows = 8;
    private const int DotColumns = 8;

    /// <summary>Few rows times a transposed B, as in a linear layer on few tokens: what it costs is reading B once.</summary>
    private static bool IsDotProduct(in MatMulArgs args) => args.Rows <= MostDotRows && args.TransposeB && !args.TransposeA && args.Columns >= DotColumns;

    private void Dot<TActivation>(in MatMulArgs args, DeviceBuffer a, DeviceBuffer b, in MatMulEpilogue<TActivation> epilogue)
        where TActivation : struct, IUnaryOp
    {
        int products = args.OuterBatch * args.InnerBatch, columnTiles = GroupCount(args.Columns, DotColumns);
        MatMulGrid sizes = new(
            args.Rows, args.Columns, args.Depth, args.Depth, args.Depth, args.InnerBatch,
            args.OuterStrideA, args.InnerStrideA, args.OuterStrideB, args.InnerStrideB, products, 1, columnTiles, args.Depth);
        bool isAligned = IsAligned(a, args.Depth, args.OuterStrideA, args.InnerStrideA) && IsAligned(b, args.Depth, args.OuterStrideB, args.InnerStrideB);
        if (isAligned) Launch(new DotKernel<AlignedAccess, TActivation>(Input(a), Input(b), sizes, epilogue), checked(products * columnTiles));
        else Launch(new DotKernel<ScalarAccess, TActivation>(Input(a), Input(b), sizes, epilogue), checked(products * columnTiles));
    }

    /// <summary>
    /// Each 32 threads of a group take one column of C, a row of B: they read it side by side, multiply it with all rows of A, and the 32 partial sums
    /// of each element are added in order.
    /// </summary>
    internal readonly record struct DotKernel<TAccess, [EpilogueActivations] TActivation>(
        ArrayView<float> A, ArrayView<float> B, MatMulGrid Sizes, MatMulEpilogue<TActivation> Epilogue) : IGpuKernel
        where TAccess : struct, IFloat4Access
        where TActivation : struct, IUnaryOp
    {
        /// <summary>Floats from one column's partial sums of a row to the next: 32 and one against bank conflicts.</summary>
        private const int Stride = 33;

        public static int GroupSize => 256;

        public static bool IsHot => true;

        public void Execute()
        {
            ArrayView<float> shared = SharedMemory.Allocate<float>(MostDotRows * DotColumns * Stride);
            int thread = Group.IdxX, lane = thread % 32, slot = thread / 32;
            int product = Grid.IdxX / Sizes.ColumnTiles, column = (Grid.IdxX % Sizes.ColumnTiles * DotColumns) + slot;
            long a = Sizes.OffsetA(product), b = Sizes.OffsetB(product) + ((long)column * Sizes.Depth);
            Sums sums = default;
            if (column < Sizes.Columns)
            {
                for (int step = 4 * lane; step < Sizes.Depth; step += 128)
                {
                    int count = Sizes.Depth - step;
                    Add(ref sums, a + step, count, TAccess.Load(B, b + step, count));
                }
            }

            Put(shared, (slot * Stride) + lane, sums);
            Group.Barrier();
            int row = thread / DotColumns;
            column += (thread % DotColumns) - slot;
            if (row >= Sizes.Rows || column >= Sizes.Columns) return;
            float sum = 0f;
            for (int i = 0; i < 32; i++) sum += shared[(thread * Stride) + i];
            Epilogue.Finish((((long)product * Sizes.Rows) + row) * Sizes.Columns + column, column, sum);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void Add(ref Sums sums, long a, int count, Float4 right)
        {
            sums.Row0 += Dot(a, 0, count, right);
            if (Sizes.Rows > 1) sums.Row1 += Dot(a, 1, count, right);
            if (Sizes.Rows > 2) sums.Row2 += Dot(a, 2, count, right);
            if (Sizes.Rows > 3) sums.Row3 += Dot(a, 3, count, right);
            if (Sizes.Rows > 4) sums.Row4 += Dot(a, 4, count, right);
            if (Sizes.Rows > 5) sums.Row5 += Dot(a, 5, count, right);
            if (Sizes.Rows > 6) sums.Row6 += Dot(a, 6, count, right);
            if (Sizes.Rows > 7) sums.Row7 += Dot(a, 7, count, right);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private float Dot(long a, int row, int count, Float4 right)
        {
            Float4 left = TAccess.Load(A, a + ((long)row * Sizes.Depth), count);
            return (left.X * right.X) + (left.Y * right.Y) + ((left.Z * right.Z) + (left.W * right.W));
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Put(ArrayView<float> shared, int at, in Sums sums)
        {
            shared[at] = sums.Row0;
            shared[at + (1 * DotColumns * Stride)] = sums.Row1;
            shared[at + (2 * DotColumns * Stride)] = sums.Row2;
            shared[at + (3 * DotColumns * Stride)] = sums.Row3;
            shared[at + (4 * DotColumns * Stride)] = sums.Row4;
            shared[at + (5 * DotColumns * Stride)] = sums.Row5;
            shared[at + (6 * DotColumns * Stride)] = sums.Row6;
            shared[at + (7 * DotColumns * Stride)] = sums.Row7;
        }

        /// <summary>One thread's partial sums, one for each row of A.</summary>
        private struct Sums
        {
            public float Row0;
            public float Row1;
            public float Row2;
            public float Row3;
            public float Row4;
            public float Row5;
            public float Row6;
            public float Row7;
        }
    }
}
