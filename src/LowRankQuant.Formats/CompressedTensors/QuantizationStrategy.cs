namespace LowRankQuant.Formats.CompressedTensors;

/// <summary>What shares one scale, in the words of compressed-tensors (quantization/quant_args.py).</summary>
public enum QuantizationStrategy
{
    /// <summary>The whole tensor.</summary>
    Tensor,

    /// <summary>An output channel.</summary>
    Channel,

    /// <summary>A run of group_size inputs of a row.</summary>
    Group,

    /// <summary>A rectangle of block_structure.</summary>
    Block,

    /// <summary>One token of an activation.</summary>
    Token,

    /// <summary>Groups below one scale of the whole tensor.</summary>
    TensorGroup,

    /// <summary>One attention head.</summary>
    AttnHead,
}
