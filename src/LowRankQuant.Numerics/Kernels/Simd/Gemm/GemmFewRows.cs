using System.Numerics;
using System.Runtime.CompilerServices;

namespace LowRankQuant.Numerics.Kernels.Simd.Gemm;

/// <summary>
/// Products with few rows, as in generating one token: b is read once from where it lies, since packing it would cost more than the product.
/// Sums are cut by shape alone, so they do not depend on the number of threads.
/// </summary>
internal sealed unsafe class GemmFewRows
{
    /// <summary>Most rows of a for which this is the better way.</summary>
    public const int MaxRows = 4;

    // Inner dimension that is gathered at a time; bounds the scratch memory.
    private const int InnerBlock = 8192;
    private const int ColumnsPerChunk = 64;
    private readonly GemmScratch _rows = new(MaxRows * InnerBlock);
    private readonly Lock _gate = new();
    private readonly Stack<Job> _jobs = [];

    public void Multiply(in GemmProblem problem, WorkerPool? pool)
    {
        Job? job;
        lock (_gate) _jobs.TryPop(out job);
        job ??= new Job();
        float* rows = _rows.Rent();
        try
        {
            job.Run(problem, rows, pool);
        }
        finally
        {
            _rows.Return(rows);
            lock (_gate) _jobs.Push(job);
        }
    }

    /// <summary>State of one product; kept for the next so that products leave nothing to the garbage collector.</summary>
    private sealed class Job
    {
        private readonly Action<int> _body;
        private GemmProblem _problem;
        private float* _left;
        private int _first;
        private int _count;

        public Job() => _body = Compute;

        public void Run(in GemmProblem problem, float* left, WorkerPool? pool)
        {
            _problem = problem;
            _left = left;
            int chunks = (problem.N + ColumnsPerChunk - 1) / ColumnsPerChunk;
            for (_first = 0; _first < problem.K; _first += InnerBlock)
            {
                _count = Math.Min(InnerBlock, problem.K - _first);
                GatherRows();
                if (pool is not null)
                {
                    pool.Run(chunks, _body);
                    continue;
                }
                for (int i = 0; i < chunks; i++) _body(i);
            }
        }

        private void GatherRows()
        {
            for (int i = 0; i < _problem.M; i++)
            {
                float* target = _left + ((nint)i * _count);
                if (_problem.TransposeA)
                {
                    float* source = _problem.A + (_first * _problem.Lda) + i;
                    for (int p = 0; p < _count; p++, source += _problem.Lda) target[p] = *source;
                }
                else
                {
                    new ReadOnlySpan<float>(_problem.A + (i * _problem.Lda) + _first, _count).CopyTo(new Span<float>(target, _count));
                }
            }
        }

        private void Compute(int chunk)
        {
            int start = chunk * ColumnsPerChunk, end = Math.Min(_problem.N, start + ColumnsPerChunk);
            bool accumulate = _problem.Accumulate || _first > 0;
            if (_problem.TransposeB) Dots(start, end, accumulate);
            else Sums(start, end, accumulate);
        }

        private void Dots(int start, int end, bool accumulate)
        {
            nint stride = _problem.Ldb;
            int j = start;
            for (; j <= end - 4; j += 4)
            {
                float* b = _problem.B + (j * stride) + _first;
                for (int i = 0; i < _problem.M; i++)
                {
                    Dot4(_left + ((nint)i * _count), b, stride, _count, _problem.C + (i * _problem.Ldc) + j, accumulate);
                }
            }
            for (; j < end; j++)
            {
                float* b = _problem.B + (j * stride) + _first;
                for (int i = 0; i < _problem.M; i++)
                {
                    float* c = _problem.C + (i * _problem.Ldc) + j;
                    float sum = Dot(_left + ((nint)i * _count), b, _count);
                    *c = accumulate ? *c + sum : sum;
                }
            }
        }

        private void Sums(int start, int end, bool accumulate)
        {
            int wide = 8 * Vector<float>.Count;
            for (int i = 0; i < _problem.M; i++)
            {
                float* x = _left + ((nint)i * _count), c = _problem.C + (i * _problem.Ldc);
                float* b = _problem.B + (_first * _problem.Ldb);
                int j = start;
                for (; j <= end - wide; j += wide) Sum8(x, b + j, _problem.Ldb, _count, c + j, accumulate);
                for (; j <= end - Vector<float>.Count; j += Vector<float>.Count) Sum1(x, b + j, _problem.Ldb, _count, c + j, accumulate);
                for (; j < end; j++)
                {
                    float sum = 0;
                    for (int p = 0; p < _count; p++) sum += x[p] * b[(p * _problem.Ldb) + j];
                    c[j] = accumulate ? c[j] + sum : sum;
                }
            }
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Dot4(float* x, float* b, nint stride, int count, float* c, bool accumulate)
        {
            // Two sums for each column: the loop would else wait for one multiply-add to end before the next.
            int step = Vector<float>.Count, p = 0;
            float* b1 = b + stride, b2 = b1 + stride, b3 = b2 + stride;
            Vector<float> s0 = Vector<float>.Zero, s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
            for (; p <= count - (2 * step); p += 2 * step)
            {
                Vector<float> left = Vector.Load(x + p), right = Vector.Load(x + p + step);
                s0 = Vector.MultiplyAddEstimate(left, Vector.Load(b + p), s0);
                s1 = Vector.MultiplyAddEstimate(left, Vector.Load(b1 + p), s1);
                s2 = Vector.MultiplyAddEstimate(left, Vector.Load(b2 + p), s2);
                s3 = Vector.MultiplyAddEstimate(left, Vector.Load(b3 + p), s3);
                t0 = Vector.MultiplyAddEstimate(right, Vector.Load(b + p + step), t0);
                t1 = Vector.MultiplyAddEstimate(right, Vector.Load(b1 + p + step), t1);
                t2 = Vector.MultiplyAddEstimate(right, Vector.Load(b2 + p + step), t2);
                t3 = Vector.MultiplyAddEstimate(right, Vector.Load(b3 + p + step), t3);
            }
            float sum0 = Vector.Sum(s0 + t0), sum1 = Vector.Sum(s1 + t1), sum2 = Vector.Sum(s2 + t2), sum3 = Vector.Sum(s3 + t3);
            for (; p < count; p++)
            {
                sum0 += x[p] * b[p];
                sum1 += x[p] * b1[p];
                sum2 += x[p] * b2[p];
                sum3 += x[p] * b3[p];
            }
            c[0] = accumulate ? c[0] + sum0 : sum0;
            c[1] = accumulate ? c[1] + sum1 : sum1;
            c[2] = accumulate ? c[2] + sum2 : sum2;
            c[3] = accumulate ? c[3] + sum3 : sum3;
        }

        private static float Dot(float* x, float* b, int count)
        {
            int step = Vector<float>.Count, p = 0;
            Vector<float> sums = Vector<float>.Zero;
            for (; p <= count - step; p += step) sums = Vector.MultiplyAddEstimate(Vector.Load(x + p), Vector.Load(b + p), sums);
            float sum = Vector.Sum(sums);
            for (; p < count; p++) sum += x[p] * b[p];
            return sum;
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static void Sum8(float* x, float* b, nint stride, int count, float* c, bool accumulate)
        {
            int step = Vector<float>.Count;
            Vector<float> s0 = Vector<float>.Zero, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
            for (int p = 0; p < count; p++, b += stride)
            {
                var left = new Vector<float>(x[p]);
                s0 = Vector.MultiplyAddEstimate(left, Vector.Load(b), s0);
                s1 = Vector.MultiplyAddEstimate(left, Vector.Load(b + step), s1);
                s2 = Vector.MultiplyAddEstimate(left, Vector.Load(b + (2 * step)), s2);
                s3 = Vector.MultiplyAddEstimate(left, Vector.Load(b + (3 * step)), s3);
                s4 = Vector.MultiplyAddEstimate(left, Vector.Load(b + (4 * step)), s4);
                s5 = Vector.MultiplyAddEstimate(left, Vector.Load(b + (5 * step)), s5);
                s6 = Vector.MultiplyAddEstimate(left, Vector.Load(b + (6 * step)), s6);
                s7 = Vector.MultiplyAddEstimate(left, Vector.Load(b + (7 * step)), s7);
            }
            Finish(c, s0, accumulate);
            Finish(c + step, s1, accumulate);
            Finish(c + (2 * step), s2, accumulate);
            Finish(c + (3 * step), s3, accumulate);
            Finish(c + (4 * step), s4, accumulate);
            Finish(c + (5 * step), s5, accumulate);
            Finish(c + (6 * step), s6, accumulate);
            Finish(c + (7 * step), s7, accumulate);
        }

        private static void Sum1(float* x, float* b, nint stride, int count, float* c, bool accumulate)
        {
            Vector<float> sum = Vector<float>.Zero;
            for (int p = 0; p < count; p++, b += stride) sum = Vector.MultiplyAddEstimate(new Vector<float>(x[p]), Vector.Load(b), sum);
            Finish(c, sum, accumulate);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Finish(float* c, Vector<float> value, bool accumulate)
        {
            if (accumulate) value += Vector.Load(c);
            value.Store(c);
        }
    }
}
