namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>The optimizer's step.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void AdamStep(in AdamArguments arguments)
    {
        float* x = arguments.Parameters.Pointer, g = arguments.Gradient.Pointer;
        float* m = arguments.FirstMoment.Pointer, v = arguments.SecondMoment.Pointer;
        var factors = new AdamFactors(arguments);
        ForElements(arguments.Parameters.Count, (start, n) => AdamChunk(x + start, g + start, m + start, v + start, n, factors));
    }

    private static void AdamChunk(float* x, float* g, float* m, float* v, int n, in AdamFactors factors)
    {
        V beta1 = V.Create(factors.Beta1), rest1 = V.Create(factors.Rest1), beta2 = V.Create(factors.Beta2), rest2 = V.Create(factors.Rest2);
        V rate = V.Create(factors.Rate), correction = V.Create(factors.SecondCorrection), epsilon = V.Create(factors.Epsilon);
        for (int j = 0; j < n; j += V.Count)
        {
            int left = n - j;
            V gradient = V.Load(g + j, left);
            V first = V.MultiplyAdd(beta1, V.Load(m + j, left), rest1 * gradient);
            V second = V.MultiplyAdd(beta2, V.Load(v + j, left), rest2 * gradient * gradient);
            first.Store(m + j, left);
            second.Store(v + j, left);
            (V.Load(x + j, left) - (rate * first / (V.Sqrt(second * correction) + epsilon))).Store(x + j, left);
        }
    }
}
