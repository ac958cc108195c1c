namespace LowRankQuant.Numerics.Kernels.Simd;

/// <summary>Dequantization with scales that learn; the formulas stand at the scalar reference.</summary>
internal sealed unsafe partial class VectorKernels<V, D>
{
    public void GroupScaleForward(Tensor units, Tensor scale, Tensor y)
    {
        if (scale.Count == 0) return;
        float* pu = units.Pointer, ps = scale.Pointer, py = y.Pointer;
        int groups = checked((int)scale.Count), size = checked((int)(units.Count / groups));
        ForRows(groups, size, (_, first, end) =>
        {
            for (int g = first; g < end; g++)
            {
                float* group = pu + ((long)g * size), target = py + ((long)g * size);
                V s = V.Create(ps[g]);
                for (int j = 0; j < size; j += V.Count) (V.Load(group + j, size - j) * s).Store(target + j, size - j);
            }
        });
    }

    public void GroupScaleBackward(Tensor dy, Tensor units, Tensor dScale, bool accumulate)
    {
        if (dScale.Count == 0) return;
        float* pd = dy.Pointer, pu = units.Pointer, ps = dScale.Pointer;
        int groups = checked((int)dScale.Count), size = checked((int)(units.Count / groups));
        ForRows(groups, size, (_, first, end) =>
        {
            for (int g = first; g < end; g++)
            {
                float* slope = pd + ((long)g * size), group = pu + ((long)g * size);
                V sum = V.Zero;
                for (int j = 0; j < size; j += V.Count) sum = V.MultiplyAdd(V.Load(slope + j, size - j), V.Load(group + j, size - j), sum);
                ps[g] = (accumulate ? ps[g] : 0) + V.Sum(sum);
            }
        });
    }
}
