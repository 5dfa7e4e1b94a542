using ILGPU;
using MiniVlp.Kernels.Gpu;
using MiniVlp.Kernels.Gpu.Cuda;
using static MiniVlp.Kernels.Gpu.Cuda.InstructionsAmpere;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// Two numbers for each query, so that the gradient kernels take one subtraction each: what p_ij = 2^(score · log₂e - shift) subtracts
    /// (with a bias only -log₂ of the inverse sum; +∞ for a query that sees no key, which makes p zero), and doutput · output. Half a warp takes a
    /// row of one head; rows are taken as they lie in memory, and the groups read it from end to end.
    /// </summary>
    internal readonly record struct TensorCoreShiftKernel(
        ArrayView<float> Output, ArrayView<float> OutputGradient, ArrayView<float> Statistics, ArrayView<float> Shifts,
        int QueryLength, int Heads, int HeadSize, int IsAligned, int HasBias) : IGpuKernel
    {
        private const int Lanes = 16;

        public static int GroupSize => 256;

        public static CudaLevel Level => CudaLevel.Sm80;

        /// <summary>Rows of a group.</summary>
        public static int Rows => GroupSize / Lanes;

        public void Execute()
        {
            int rows = (int)(Shifts.Length / 2), place = (Grid.IdxX * Rows) + (Group.IdxX / Lanes), lane = Group.IdxX % Lanes;
            int row = place < rows ? place : rows - 1;
            long first = (long)row * HeadSize;
            float dot = 0f;
            if (IsAligned != 0)
            {
                ArrayView<Float4> output = Output.Cast<Float4>(), gradient = OutputGradient.Cast<Float4>();
                for (int i = lane; i < HeadSize / Float4.Length; i += Lanes) dot += output[(first / Float4.Length) + i].Dot(gradient[(first / Float4.Length) + i]);
            }
            else
            {
                for (int i = lane; i < HeadSize; i += Lanes) dot += Output[first + i] * OutputGradient[first + i];
            }

            dot += ShuffleXor(dot, 8);
            dot += ShuffleXor(dot, 4);
            dot = QuadSum(dot);
            if (lane != 0 || place >= rows) return;
            uint query = (uint)row / (uint)Heads, head = (uint)row - (query * (uint)Heads), batch = query / (uint)QueryLength;
            long index = ((((long)batch * Heads) + head) * QueryLength) + (query - (batch * (uint)QueryLength));
            Shifts[index] = (HasBias != 0 ? 0f : Statistics[index] * Log2OfE) - Log2Approximate(Statistics[rows + index]);
            Shifts[rows + index] = dot;
        }
    }
}
