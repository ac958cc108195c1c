using System.Text;

namespace LowRankQuant.Evaluation.Runs;

/// <summary>Reads a text file of any length and knows how much of it is read; refuses bytes that are no UTF-8.</summary>
internal sealed class TextFileReader : TextReader
{
    private readonly string _path;
    private readonly FileStream _stream;
    private readonly StreamReader _reader;

    /// <exception cref="EvaluationException">There is no such file.</exception>
    public TextFileReader(string path)
    {
        if (!File.Exists(path)) throw new EvaluationException($"'{path}' is not a file; name a text to measure on.");
        _path = path;
        _stream = File.OpenRead(path);
        _reader = new StreamReader(_stream, new UTF8Encoding(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true));
    }

    /// <summary>The part of the file that is read, 0 to 1; a buffer ahead of what was asked for.</summary>
    public double Share => _stream.Length == 0 ? 1 : (double)_stream.Position / _stream.Length;

    /// <inheritdoc/>
    public override int Read(char[] buffer, int index, int count)
    {
        try
        {
            return _reader.Read(buffer, index, count);
        }
        catch (DecoderFallbackException failure)
        {
            throw new EvaluationException($"'{_path}' is not UTF-8 text.", failure);
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposing) _reader.Dispose();
        base.Dispose(disposing);
    }
}
