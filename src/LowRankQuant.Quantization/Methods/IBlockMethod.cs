namespace LowRankQuant.Quantization.Methods;

/// <summary>A way to quantize one block. Every method plugs in here, so that a comparison is fair and a new method is one folder.</summary>
public interface IBlockMethod
{
    /// <summary>Name for reports, as the command line spells it.</summary>
    string Name { get; }

    /// <summary>Whether the method looks at activations; if not, the streams of the context are absent.</summary>
    bool NeedsCalibration { get; }

    /// <summary>Whether the method looks at the block's input in the full-precision model (<see cref="BlockStreams.FullPrecisionInput"/>).</summary>
    bool NeedsFullPrecisionInput => false;

    /// <summary>Whether the method looks at what every linear gets in the full-precision model (<see cref="BlockStreams.FullPrecisionInputs"/>).</summary>
    bool NeedsFullPrecisionInputs => false;

    /// <summary>Quantizes every linear of the block. The block's slots are left as they were found.</summary>
    /// <exception cref="OperationCanceledException">The context's token asked to stop.</exception>
    QuantizedBlock Quantize(BlockContext context);
}
