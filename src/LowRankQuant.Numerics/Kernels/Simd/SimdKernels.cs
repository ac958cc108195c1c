namespace LowRankQuant.Numerics.Kernels.Simd;

internal sealed class SimdKernels(WorkerPool pool, IGemm gemm) : IKernels
{
    public string Name => $"simd {gemm.Name} {pool.Threads}";

    public void Upload(ReadOnlySpan<float> source, Tensor destination) => throw new NotImplementedException();

    public void Download(Tensor source, Span<float> destination) => throw new NotImplementedException();

    public void Copy(Tensor source, Tensor destination) => throw new NotImplementedException();

    public void Fill(Tensor x, float value) => throw new NotImplementedException();

    public void Add(Tensor a, Tensor b, Tensor y) => throw new NotImplementedException();

    public void AddScaled(Tensor x, float factor, Tensor y) => throw new NotImplementedException();

    public void Scale(Tensor x, float factor, Tensor y) => throw new NotImplementedException();

    public void MatMul(Tensor a, bool transposeA, Tensor b, bool transposeB, Tensor c, bool accumulate) => throw new NotImplementedException();

    public void AddRow(Tensor x, Tensor row) => throw new NotImplementedException();

    public void ColumnSums(Tensor x, Tensor sums, bool accumulate) => throw new NotImplementedException();

    public void EmbeddingForward(Tensor table, ReadOnlySpan<int> ids, Tensor y) => throw new NotImplementedException();

    public void EmbeddingBackward(Tensor dy, ReadOnlySpan<int> ids, Tensor tableGradient) => throw new NotImplementedException();

    public void RmsNormForward(Tensor x, Tensor weight, float epsilon, float weightOffset, Tensor y, Tensor inverseRms) => throw new NotImplementedException();

    public void RmsNormBackward( Tensor dy, Tensor x, Tensor weight, float weightOffset, Tensor inverseRms, Tensor dx, bool accumulate, Tensor? dWeight) => throw new NotImplementedException();

    public void LayerNormForward(Tensor x, Tensor weight, Tensor? bias, float epsilon, Tensor y, Tensor mean, Tensor inverseDeviation) => throw new NotImplementedException();

    public void LayerNormBackward( Tensor dy, Tensor x, Tensor weight, Tensor mean, Tensor inverseDeviation, Tensor dx, bool accumulate, Tensor? dWeight, Tensor? dBias) => throw new NotImplementedException();

    public void Rotate( Tensor x, Tensor cosine, Tensor sine, int headSize, bool interleaved, int sequenceLength, int positionOffset, bool inverse, Tensor y) => throw new NotImplementedException();

    public void AttentionForward(in AttentionShape shape, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp) => throw new NotImplementedException();

    public void AttentionBackward( in AttentionShape shape, Tensor dy, Tensor q, Tensor k, Tensor v, Tensor y, Tensor logSumExp, Tensor dq, Tensor dk, Tensor dv) => throw new NotImplementedException();

    public void ActivationForward(Activation activation, Tensor x, Tensor y) => throw new NotImplementedException();

    public void ActivationBackward(Activation activation, Tensor dy, Tensor x, Tensor dx) => throw new NotImplementedException();

    public void GatedActivationForward(Activation activation, Tensor gate, Tensor up, Tensor y) => throw new NotImplementedException();

    public void GatedActivationBackward(Activation activation, Tensor dy, Tensor gate, Tensor up, Tensor dGate, Tensor dUp) => throw new NotImplementedException();

    public double SquaredError(Tensor x, Tensor target, Tensor? rowWeights, float factor, Tensor? gradient) => throw new NotImplementedException();

    public void CrossEntropyForward(Tensor logits, ReadOnlySpan<int> targets, Tensor negativeLogLikelihood, Tensor logSumExp) => throw new NotImplementedException();

    public void CrossEntropyBackward(Tensor logits, ReadOnlySpan<int> targets, Tensor logSumExp, float scale, Tensor dLogits) => throw new NotImplementedException();

    public void SoftmaxStatistics(Tensor logits, Tensor logSumExp, Span<int> largest) => throw new NotImplementedException();

    public void KlDivergence(Tensor reference, Tensor logits, Span<double> divergence) => throw new NotImplementedException();

    public void FakeQuantizeForward(in FakeQuantizeArguments arguments) => throw new NotImplementedException();

    public void FakeQuantizeBackward(in FakeQuantizeArguments arguments, in FakeQuantizeGradients gradients) => throw new NotImplementedException();

    public void AdamStep(in AdamArguments arguments) => throw new NotImplementedException();
}
