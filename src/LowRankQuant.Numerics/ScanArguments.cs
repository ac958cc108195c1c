namespace LowRankQuant.Numerics;

/// <summary>
/// Sizes of Mamba-2's recurrence (state space duality, arXiv 2405.21060). Head h has a state S [HeadSize, StateSize] and uses group
/// h / (Heads / Groups) of B and C:
/// <code>
/// S_t = exp(dt_t A) S_(t-1) + dt_t x_t B_t^T          y_t = S_t C_t + D x_t
/// </code>
/// Tensors of <see cref="ScanInputs"/>: x [Batch * Length, Heads * HeadSize], B and C [Batch * Length, Groups * StateSize],
/// dt [Batch * Length, Heads], A and D [Heads].
/// </summary>
/// <param name="Batch">Sequences.</param>
/// <param name="Length">Tokens of each sequence.</param>
/// <param name="Heads">Heads.</param>
/// <param name="Groups">Groups of heads that share B and C; divides Heads.</param>
/// <param name="HeadSize">Elements of one head of x and y.</param>
/// <param name="StateSize">Elements of B and C of one group.</param>
public readonly record struct StateSpaceShape(int Batch, int Length, int Heads, int Groups, int HeadSize, int StateSize)
{
    /// <summary>Tokens between the states that a forward pass keeps for the backward pass.</summary>
    public const int ChunkLength = 64;

    /// <summary>Chunks of each sequence; the last may be short.</summary>
    public int Chunks => (Length + ChunkLength - 1) / ChunkLength;

    /// <summary>Elements of the states at the starts of all chunks: [Batch, Heads, Chunks, StateSize, HeadSize], the transposed state of a head in each.</summary>
    public long KeptElements => (long)Batch * Heads * Chunks * StateSize * HeadSize;
}

/// <summary>
/// Sizes of Mamba-1's selective scan (arXiv 2312.00752). Channel c has a state S_c [StateSize]; products and the exponential go by elements:
/// <code>
/// S_c = exp(dt_c A_c) S_c + dt_c x_c B          y_c = S_c . C + D_c x_c
/// </code>
/// Tensors of <see cref="ScanInputs"/>: x and dt [Batch * Length, Channels], B and C [Batch * Length, StateSize], A [Channels, StateSize],
/// D [Channels].
/// </summary>
/// <param name="Batch">Sequences.</param>
/// <param name="Length">Tokens of each sequence.</param>
/// <param name="Channels">Channels.</param>
/// <param name="StateSize">Elements of the state of one channel.</param>
public readonly record struct SelectiveScanShape(int Batch, int Length, int Channels, int StateSize)
{
    /// <summary>Tokens between the states that a forward pass keeps for the backward pass.</summary>
    public const int ChunkLength = 64;

    /// <summary>Chunks of each sequence; the last may be short.</summary>
    public int Chunks => (Length + ChunkLength - 1) / ChunkLength;

    /// <summary>Elements of the states at the starts of all chunks: [Batch, Chunks, StateSize, Channels].</summary>
    public long KeptElements => (long)Batch * Chunks * StateSize * Channels;
}

/// <summary>What a recurrence with a state reads, see <see cref="StateSpaceShape"/> and <see cref="SelectiveScanShape"/>.</summary>
/// <param name="X">x.</param>
/// <param name="B">B, what is written into the state.</param>
/// <param name="C">C, what is read from the state.</param>
/// <param name="StepSizes">dt, above zero.</param>
/// <param name="A">A, a negative constant.</param>
/// <param name="D">D, a constant.</param>
public readonly record struct ScanInputs(Tensor X, Tensor B, Tensor C, Tensor StepSizes, Tensor A, Tensor D);

/// <summary>Gradients of <see cref="ScanInputs"/>, shaped as those; all are overwritten.</summary>
/// <param name="X">dx.</param>
/// <param name="B">dB.</param>
/// <param name="C">dC.</param>
/// <param name="StepSizes">The gradient of dt, both as a factor of x and within the exponential.</param>
public readonly record struct ScanGradients(Tensor X, Tensor B, Tensor C, Tensor StepSizes);
