using System.Runtime.CompilerServices;
using MiniVlp.Kernels.Simd;

namespace MiniVlp.Kernels;

// A packed weight is the right operand of PanelProduct, panels and all. Products read float32 panels where they lie. Narrower elements are
// decoded: by the microkernel itself as it loads them when one tile has all rows (the speed is then that of the memory that holds the
// weight), into scratch memory of a block when there are some more, and into a slab when there are many.
public sealed unsafe partial class CpuBackend
{
    /// <summary>Panels that one chunk packs or, with few rows, computes.</summary>
    private const int RowPanels = 4;

    /// <inheritdoc/>
    public PackedWeight PackWeight(DeviceBuffer weight, int outputs, int inputs, WeightFormat format)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(outputs);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(inputs);
        if (weight.Length != (long)outputs * inputs) throw new ArgumentException($"The weight has {weight.Length} elements, not {outputs} x {inputs}.", nameof(weight));
        long elements = (long)RoundUp(outputs, TileColumns) * inputs;
        DeviceBuffer memory = Rent(checked((int)(((elements * PackedPanels.BytesOf(format)) + sizeof(float) - 1) / sizeof(float))));
        DeviceBuffer scales = format is WeightFormat.Int8 ? Rent(RoundUp(outputs, TileColumns)) : default;
        PackedPanels panels = new(Floats(memory), Floats(scales), outputs, inputs, format);
        Run(new EncodeKernel(panels, Floats(weight)), ChunkCount(outputs, RowPanels * TileColumns));
        return new PackedWeight(this, memory, scales, outputs, inputs, format);
    }

    /// <inheritdoc/>
    public void MatMulPacked<TActivation>(PackedWeight weight, int rows, DeviceBuffer a, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual)
        where TActivation : struct, IUnaryOp
    {
        weight.RequireBackend(this);
        if (rows == 0) return;
        PackedPanels panels = new(Floats(weight.Memory), Floats(weight.Scales), weight.Outputs, weight.Inputs, weight.Format);
        Epilogue<TActivation> epilogue = new(Floats(c), Floats(bias), Floats(residual), default);
        if (rows <= TileRows)
        {
            int chunks = ChunkCount(weight.Outputs, RowPanels * TileColumns);
            switch (weight.Format)
            {
                case WeightFormat.BFloat16: Run(new FewRowsKernel<BFloat16Element, TActivation>(panels, rows, Floats(a), epilogue), chunks); break;
                case WeightFormat.Int8: Run(new FewRowsKernel<Int8Element, TActivation>(panels, rows, Floats(a), epilogue), chunks); break;
                default: Run(new FewRowsKernel<Float32Element, TActivation>(panels, rows, Floats(a), epilogue), chunks); break;
            }
        }
        else
        {
            MultiplySlabs(new(rows, weight.Outputs, weight.Inputs), new MatMulOperand(Floats(a), weight.Inputs, true), default, panels, 0, false, epilogue);
        }
    }

    /// <inheritdoc/>
    public void MatMulPacked(PackedWeight weight, int rows, DeviceBuffer a, DeviceBuffer c, DeviceBuffer bias, DeviceBuffer residual)
        => MatMulPacked<NoActivation>(weight, rows, a, c, bias, residual);

    /// <summary>
    /// A weight as panels: one depth block behind the other, each as all of its panels of two vectors of outputs, the last filled up with zeros.
    /// </summary>
    private readonly record struct PackedPanels(Pointer Memory, Pointer Scales, int Columns, int Depth, WeightFormat Format)
    {
        public bool Exists => (float*)Memory != null;

        public static int BytesOf(WeightFormat format) => format switch
        {
            WeightFormat.BFloat16 => 2,
            WeightFormat.Int8 => 1,
            _ => 4,
        };

        /// <summary>The panel that starts at output <paramref name="column"/> of the depth block that starts at step <paramref name="k"/>.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public byte* Panel(int column, int k, int tileColumns)
            => (byte*)(float*)Memory + (BytesOf(Format) * (((long)k * RoundUp(Columns, tileColumns)) + ((long)column * Math.Min(DepthStep(Depth), Depth - k))));

        /// <summary>Decodes <paramref name="columns"/> outputs, from a tile boundary on, of one depth block into panels of float32.</summary>
        public void Decode<V>(int column, int columns, int k, float* panels)
            where V : unmanaged, ISimd<V>
        {
            int tileColumns = MatMulMicrokernel.Columns<V>(), depth = Math.Min(DepthStep(Depth), Depth - k);
            for (int j = 0; j < columns; j += tileColumns)
            {
                byte* panel = Panel(column + j, k, tileColumns);
                if (Format is WeightFormat.BFloat16) Decode<V, StreamedElement<BFloat16Element>>(panel, null, depth, panels + ((long)j * depth));
                else Decode<V, Int8Element>(panel, (float*)Scales + column + j, depth, panels + ((long)j * depth));
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private static void Decode<V, TElement>(byte* source, float* scales, int depth, float* destination)
            where V : unmanaged, ISimd<V>
            where TElement : struct, IPanelElement
        {
            V scale0 = scales == null ? V.Create(1f) : V.Load(scales), scale1 = scales == null ? scale0 : V.Load(scales + V.Width);
            for (int k = 0; k < depth; k++)
            {
                V.Store(TElement.Load<V>(source) * scale0, destination);
                V.Store(TElement.Load<V>(source + (V.Width * TElement.Bytes)) * scale1, destination + V.Width);
                source += 2 * V.Width * TElement.Bytes;
                destination += 2 * V.Width;
            }
        }
    }

    /// <summary>Packs and rounds the outputs of one chunk.</summary>
    private readonly record struct EncodeKernel(PackedPanels Panels, Pointer Weight) : ICpuKernel
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int tileColumns = MatMulMicrokernel.Columns<V>(), step = DepthStep(Panels.Depth);
            int start = chunk * RowPanels * tileColumns, columns = Math.Min(RowPanels * tileColumns, Panels.Columns - start), padded = RoundUp(columns, tileColumns);
            float* weight = (float*)Weight + ((long)start * Panels.Depth);
            if (Panels.Format is WeightFormat.Int8) Scale(weight, start, columns, padded);
            float* scratch = ThreadScratch.Get(padded * step);
            for (int k = 0; k < Panels.Depth; k += step)
            {
                int depth = Math.Min(step, Panels.Depth - k);
                float* target = Panels.Format is WeightFormat.Float32 ? (float*)Panels.Panel(start, k, tileColumns) : scratch;
                new MatMulOperand(weight + k, Panels.Depth, true).Pack<V>(columns, depth, tileColumns, 1f, target);
                if (Panels.Format is WeightFormat.Float32) continue;
                for (int j = 0; j < padded; j += tileColumns)
                {
                    byte* panel = Panels.Panel(start + j, k, tileColumns);
                    float* source = scratch + ((long)j * depth);
                    if (Panels.Format is WeightFormat.BFloat16) ToBFloat16(source, tileColumns * depth, (ushort*)panel);
                    else ToInt8(source, tileColumns, depth, (float*)Panels.Scales + start + j, (sbyte*)panel);
                }
            }
        }

        private void Scale(float* weight, int start, int columns, int padded)
        {
            float* scales = (float*)Panels.Scales + start;
            for (int j = 0; j < padded; j++)
            {
                float largest = 0f;
                for (int k = 0; j < columns && k < Panels.Depth; k++) largest = MathF.Max(largest, MathF.Abs(weight[((long)j * Panels.Depth) + k]));
                scales[j] = largest / 127f;
            }
        }

        private static void ToBFloat16(float* source, int count, ushort* destination)
        {
            for (int i = 0; i < count; i++)
            {
                uint bits = BitConverter.SingleToUInt32Bits(source[i]);
                destination[i] = float.IsNaN(source[i]) ? (ushort)0x7FC0 : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
            }
        }

        private static void ToInt8(float* source, int columns, int depth, float* scales, sbyte* destination)
        {
            for (int k = 0; k < depth; k++)
            {
                for (int j = 0; j < columns; j++, source++, destination++)
                    *destination = scales[j] > 0f ? (sbyte)MathF.Round(Math.Clamp(*source / scales[j], -127f, 127f)) : (sbyte)0;
            }
        }
    }

    /// <summary>All rows fit one tile: the weight is read once, straight from memory, and decoded as it is loaded.</summary>
    private readonly record struct FewRowsKernel<TElement, TActivation>(PackedPanels Panels, int Rows, Pointer A, Epilogue<TActivation> Epilogue) : ICpuKernel
        where TElement : struct, IPanelElement
        where TActivation : struct, IUnaryOp
    {
        public void Execute<V>(int chunk)
            where V : unmanaged, ISimd<V>
        {
            int tileRows = MatMulMicrokernel.Rows<V>(), tileColumns = MatMulMicrokernel.Columns<V>(), step = DepthStep(Panels.Depth);
            int start = chunk * RowPanels * tileColumns, end = Math.Min(Panels.Columns, start + (RowPanels * tileColumns));
            float* tile = stackalloc float[Math.Max(tileRows, RowPanels) * tileColumns];
            if (Rows == 1 && end - start > (RowPanels - 1) * tileColumns)
            {
                for (int k = 0; k < Panels.Depth; k += step)
                {
                    int depth = Math.Min(step, Panels.Depth - k);
                    MatMulMicrokernel.Row<V, StreamedElement<TElement>>(
                        depth, (float*)A + k, Panels.Panel(start, k, tileColumns), (nint)depth * tileColumns * TElement.Bytes, tile, k > 0);
                }

                if (Panels.Format is WeightFormat.Int8) ScaleColumns<V>(tile, RowPanels * tileColumns, (float*)Panels.Scales + start);
                Epilogue.Finish<V>(tile, 0, false, start, Panels.Columns, start, 1, end - start);
                return;
            }

            // One row is read as two that are the same; other heights that the microkernel does not have are packed, filled up with zeros.
            bool inPlace = Rows == 1 || Rows == MatMulMicrokernel.RowsOf<V>(Rows);
            float* packed = inPlace ? null : ThreadScratch.Get(tileRows * Panels.Depth);
            if (!inPlace) new MatMulOperand(A, Panels.Depth, true).Pack<V>(Rows, Panels.Depth, tileRows, 1f, packed);
            nint aRow = Rows == 1 ? 0 : inPlace ? Panels.Depth : 1, aStep = inPlace ? 1 : tileRows;
            for (int column = start; column < end; column += tileColumns)
            {
                for (int k = 0; k < Panels.Depth; k += step)
                {
                    int depth = Math.Min(step, Panels.Depth - k);
                    float* a = inPlace ? (float*)A + k : packed + ((long)k * tileRows);
                    MatMulMicrokernel.Tile<V, StreamedElement<TElement>>(Rows, depth, a, aRow, aStep, Panels.Panel(column, k, tileColumns), tile, tileColumns, k > 0);
                }

                int columns = Math.Min(tileColumns, Panels.Columns - column);
                for (int i = 0; i < Rows && Panels.Format is WeightFormat.Int8; i++)
                    ScaleColumns<V>(tile + (i * tileColumns), tileColumns, (float*)Panels.Scales + column);
                Epilogue.Finish<V>(tile, tileColumns, false, column, Panels.Columns, column, Rows, columns);
            }
        }

        private static void ScaleColumns<V>(float* sums, int columns, float* scales)
            where V : unmanaged, ISimd<V>
        {
            for (int j = 0; j < columns; j += V.Width) V.Store(V.Load(sums + j) * V.Load(scales + j), sums + j);
        }
    }
}
