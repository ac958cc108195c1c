using System.Numerics;

namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Matrix products in managed vector code.</summary>
internal sealed unsafe class ManagedGemm(WorkerPool pool) : IGemm
{
    public string Name => "managed";

    public void Multiply(bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate)
    {
        const int rows = 32;
        nint pa = (nint)a, pb = (nint)b, pc = (nint)c;
        pool.Run((m + rows - 1) / rows, chunk =>
        {
            int start = chunk * rows, count = Math.Min(rows, m - start);
            float* first = (float*)pa + (transposeA ? start : (long)start * lda);
            MultiplySerial(transposeA, transposeB, count, n, k, first, lda, (float*)pb, ldb, (float*)pc + ((long)start * ldc), ldc, accumulate);
        });
    }

    public void MultiplySerial(bool transposeA, bool transposeB, int m, int n, int k, float* a, int lda, float* b, int ldb, float* c, int ldc, bool accumulate)
    {
        for (int i = 0; i < m; i++)
        {
            float* row = c + ((long)i * ldc);
            if (!accumulate) new Span<float>(row, n).Clear();
            if (!transposeB)
            {
                for (int p = 0; p < k; p++)
                {
                    float x = transposeA ? a[((long)p * lda) + i] : a[((long)i * lda) + p];
                    float* source = b + ((long)p * ldb);
                    int j = 0;
                    for (; j <= n - Vector<float>.Count; j += Vector<float>.Count) (Vector.Load(row + j) + (new Vector<float>(x) * Vector.Load(source + j))).Store(row + j);
                    for (; j < n; j++) row[j] += x * source[j];
                }
            }
            else
            {
                for (int j = 0; j < n; j++)
                {
                    float sum = 0;
                    for (int p = 0; p < k; p++) sum += (transposeA ? a[((long)p * lda) + i] : a[((long)i * lda) + p]) * b[((long)j * ldb) + p];
                    row[j] += sum;
                }
            }
        }
    }
}
