using System.Runtime.CompilerServices;

namespace MiniVlp.KernelLadder.Cpu;

/// <summary>
/// C = A · B, step 1: the formula c_ij = Σ_k a_ik b_kj, written down.
/// <para>
/// What limits it: B is read down its columns, one element from each line of the cache, so that each line is fetched 16 times; and every
/// addition waits for the one before, 4 cycles for 2 operations. Of 16 lanes that a core multiplies and adds each cycle, this uses a 32nd of one.
/// </para>
/// </summary>
internal static unsafe class NaiveMatMul
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(float* a, float* b, float* c, int size)
    {
        for (int i = 0; i < size; i++)
        {
            for (int j = 0; j < size; j++)
            {
                float sum = 0f;
                for (int k = 0; k < size; k++) sum += a[(i * size) + k] * b[(k * size) + j];
                c[(i * size) + j] = sum;
            }
        }
    }
}
