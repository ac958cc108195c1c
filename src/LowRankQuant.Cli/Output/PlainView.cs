using LowRankQuant.Quantization.Methods;

namespace LowRankQuant.Cli.Output;

/// <summary>Lines for files and pipes.</summary>
internal sealed class PlainView(TextWriter writer) : IRunView
{
    public void Line(string text) => writer.WriteLine(text);

    public void Passing(string text) => writer.WriteLine(text);

    public void Stage(string name)
    {
    }

    public void BeginBlocks(int blocks)
    {
    }

    public void Step(BlockProgress step, string left)
    {
    }

    public void BlocksDone(int done)
    {
    }

    public void Progress(long done, long total)
    {
    }

    public void Dispose()
    {
    }
}
