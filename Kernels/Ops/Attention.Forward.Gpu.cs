using System.Runtime.CompilerServices;
using ILGPU;
using MiniVlp.Kernels.Gpu;

namespace MiniVlp.Kernels;

public sealed partial class GpuBackend
{
    /// <summary>
    /// One group is one tile of queries of one head (and, for wide heads, some of the value's columns). It walks over tiles of keys: scores by tiles of
    /// the product, then the online softmax with four threads a row in shared memory, then the weighted sum of the values, which stays in registers.
    /// </summary>
    internal readonly record struct AttentionKernel<TAccess, TWidth>(AttentionInputs Inputs, ArrayView<float> Output, ArrayView<float> Statistics, int ColumnGroups) : IGpuKernel
        where TAccess : struct, IFloat4Access
        where TWidth : struct, IHeadWidth
    {
        // Floats of shared memory behind the tiles: four parts of each row's maximum or sum, then what a row knows so far.
        private const int Partial = 4 * (TileProduct.Length + TileProduct.RightLength);
        private const int Largest = Partial + (4 * AttentionTile);
        private const int Sum = Largest + AttentionTile;
        private const int Correction = Sum + AttentionTile;

        public static int GroupSize => 256;

        public static bool IsHot => true;

        public static bool KeepsOrder => true;

        /// <summary>
        /// Wide heads do not fit into the 128 registers that two groups would leave to a thread. Others do, where the assembler chooses so by itself: asked
        /// for two groups it moves loads so far ahead that it spills.
        /// </summary>
        public static int MinGroupsPerMultiprocessor => TWidth.Tiles > 1 ? 1 : 0;

        public void Execute()
        {
            ArrayView<Float4> shared = SharedMemory.Allocate<Float4>((Correction + AttentionTile) / 4);
            ArrayView<float> floats = shared.Cast<float>();
            int queryTile = Grid.IdxX / ColumnGroups % Inputs.QueryTiles, sequenceHead = Grid.IdxX / ColumnGroups / Inputs.QueryTiles;
            int head = sequenceHead % Inputs.Heads, batch = sequenceHead / Inputs.Heads;
            int firstQuery = queryTile * AttentionTile, firstColumn = Grid.IdxX % ColumnGroups * TWidth.Tiles * 64;
            AttentionPair pair = Inputs.Pair(batch, head);
            int threadRow = Group.IdxX >> 4;
            if (Group.IdxX < AttentionTile)
            {
                floats[Largest + Group.IdxX] = float.NegativeInfinity;
                floats[Sum + Group.IdxX] = 0f;
            }

            HeadSums<TWidth> sums = default;
            int visible = Inputs.VisibleKeys(firstQuery);
            for (int firstKey = 0; firstKey < visible; firstKey += AttentionTile)
            {
                ThreadTile4x4 scores = default;
                TileProduct.Add<ThreadTile4x4, StepsInside<TAccess>, StepsInside<TAccess>>(
                    ref scores, shared, pair.Query.AsLines(Inputs.Query), firstQuery, pair.Key.AsLines(Inputs.Key), firstKey, 0, Inputs.HeadSize);
                ScoreTile(ref scores, pair, firstQuery, firstKey);
                TileProduct.Stage(shared, scores);
                Group.Barrier();
                SoftmaxStep(floats);
                sums.ScaleRows(shared[(Correction / 4) + threadRow]);
                sums.AddStaged<TAccess>(shared, pair.Value.AsSteps(Inputs.Value), firstColumn, firstKey, Inputs.KeyLength);
            }

            Group.Barrier();
            if (Group.IdxX < AttentionTile) Finish(floats, pair.Rows, firstQuery, firstColumn);
            Group.Barrier();
            sums.ScaleRows(shared[(Correction / 4) + threadRow]);
            sums.Put(new GpuTarget(Output, 0), pair.Output, firstQuery, firstColumn, 1f);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void ScoreTile(ref ThreadTile4x4 scores, in AttentionPair pair, int firstQuery, int firstKey)
        {
            int query = firstQuery + (Group.IdxX >> 4 << 2), key = firstKey + ((Group.IdxX & 15) << 2);
            int first0 = Inputs.FirstQueryOf(pair.Batch, key), first1 = Inputs.FirstQueryOf(pair.Batch, key + 1);
            int first2 = Inputs.FirstQueryOf(pair.Batch, key + 2), first3 = Inputs.FirstQueryOf(pair.Batch, key + 3);
            ScoreRow(ref scores.Row0, pair.Bias, query, key, first0, first1, first2, first3);
            ScoreRow(ref scores.Row1, pair.Bias, query + 1, key, first0, first1, first2, first3);
            ScoreRow(ref scores.Row2, pair.Bias, query + 2, key, first0, first1, first2, first3);
            ScoreRow(ref scores.Row3, pair.Bias, query + 3, key, first0, first1, first2, first3);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private void ScoreRow(ref Float4 row, long bias, int query, int key, int first0, int first1, int first2, int first3)
        {
            row.X = Inputs.Score(row.X, bias, query, key, first0);
            row.Y = Inputs.Score(row.Y, bias, query, key + 1, first1);
            row.Z = Inputs.Score(row.Z, bias, query, key + 2, first2);
            row.W = Inputs.Score(row.W, bias, query, key + 3, first3);
        }

        /// <summary>
        /// Replaces the staged scores by exp(score - largest so far), updates largest and sum of each row, and leaves by how much the sums so far
        /// shrink: exp(old largest - new largest). Each thread has a quarter of a row.
        /// </summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void SoftmaxStep(ArrayView<float> floats)
        {
            int row = Group.IdxX & 63, quarter = Group.IdxX >> 6;
            float before = floats[Largest + row], largest = float.NegativeInfinity;
            for (int i = 0; i < 16; i++)
            {
                float score = floats[At(row, (16 * quarter) + i)];
                largest = score > largest ? score : largest;
            }

            floats[Partial + Group.IdxX] = largest;
            Group.Barrier();
            largest = before;
            for (int i = 0; i < 4; i++)
            {
                float part = floats[Partial + (i * AttentionTile) + row];
                largest = part > largest ? part : largest;
            }

            Group.Barrier();
            float reference = largest == float.NegativeInfinity ? 0f : largest, sum = 0f;
            for (int i = 0; i < 16; i++)
            {
                int at = At(row, (16 * quarter) + i);
                float weight = MathF.Exp(floats[at] - reference);
                floats[at] = weight;
                sum += weight;
            }

            floats[Partial + Group.IdxX] = sum;
            Group.Barrier();
            if (quarter == 0)
            {
                float correction = MathF.Exp(before - reference);
                sum += floats[Partial + AttentionTile + row] + (floats[Partial + (2 * AttentionTile) + row] + floats[Partial + (3 * AttentionTile) + row]);
                floats[Largest + row] = largest;
                floats[Sum + row] = (floats[Sum + row] * correction) + sum;
                floats[Correction + row] = correction;
            }

            Group.Barrier();
        }

        /// <summary>Where in shared memory a staged score lies.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static int At(int row, int key) => (4 * TileProduct.StagedQuad(key, row >> 2)) + (row & 3);

        /// <summary>Writes the statistics of a row and leaves 1 / sum for it, both 0 for a row without keys.</summary>
        private void Finish(ArrayView<float> floats, long rows, int firstQuery, int firstColumn)
        {
            float largest = floats[Largest + Group.IdxX];
            bool isEmpty = largest == float.NegativeInfinity;
            float inverse = isEmpty ? 0f : 1f / floats[Sum + Group.IdxX];
            floats[Correction + Group.IdxX] = inverse;
            int query = firstQuery + Group.IdxX;
            if (firstColumn != 0 || query >= Inputs.QueryLength) return;
            long at = rows + query;
            Statistics[at] = isEmpty ? 0f : largest;
            Statistics[(Statistics.Length / 2) + at] = inverse;
        }
    }
}
