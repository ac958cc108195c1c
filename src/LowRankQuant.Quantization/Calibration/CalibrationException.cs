namespace LowRankQuant.Quantization.Calibration;

/// <summary>Calibration data that cannot be used: too little text, a file in another format than said, token ids of another tokenizer.</summary>
public sealed class CalibrationException : Exception
{
    /// <summary>Creates the exception with a message that names the source, the value, the rule and the remedy.</summary>
    public CalibrationException(string message)
        : base(message)
    {
    }

    /// <summary>Creates the exception with its cause.</summary>
    public CalibrationException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <summary>Creates an exception without a message.</summary>
    public CalibrationException()
    {
    }
}
