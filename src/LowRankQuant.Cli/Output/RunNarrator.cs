using System.Globalization;
using System.Text;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs;

namespace LowRankQuant.Cli.Output;

/// <summary>
/// Puts what a run does into words, once for everybody: the view shows them and the run's log keeps them, flushed line by line so that its end says
/// where a run was when it died.
/// </summary>
internal sealed class RunNarrator(IRunView view, TimeProvider time) : IRunObserver, IDisposable
{
    private static readonly TimeSpan PassingInterval = TimeSpan.FromSeconds(15);
    private readonly List<string> _beforeLog = [];
    private StreamWriter? _log;
    private long _blocksStart;
    private long _blockStart;
    private long _lastPassing = time.GetTimestamp();
    private int _blocks;
    private int _earlier;
    private int _done;
    private string _stage = "";

    public void LogTo(string file)
    {
        _log?.Dispose();
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!);
        _log = new StreamWriter(new FileStream(file, FileMode.Append, FileAccess.Write, FileShare.ReadWrite), new UTF8Encoding(false)) { NewLine = "\n" };
        foreach (string line in _beforeLog) _log.WriteLine(line);
        _log.Flush();
        _beforeLog.Clear();
    }

    public void Stage(string name)
    {
        _stage = name;
        _lastPassing = time.GetTimestamp();
        Say(name);
        view.Stage(name);
    }

    public void Note(string text) => Say(text);

    public void Warn(string text) => Say($"warning: {text}");

    public void BeginBlocks(int blocks, int finished)
    {
        (_blocks, _earlier, _done) = (blocks, finished, 0);
        _blocksStart = _blockStart = _lastPassing = time.GetTimestamp();
        if (finished > 0) Say($"{finished} of {blocks} blocks are finished; going on from there.");
        view.BeginBlocks(blocks);
    }

    public void Step(BlockProgress step)
    {
        double left = SecondsLeft(step);
        view.Step(step, double.IsNaN(left) ? "" : $"{Format.Duration(left)} left");
        if (!PassingIsDue()) return;
        string remaining = double.IsNaN(left) ? "" : $", {Format.Duration(left)} left";
        Pass($"  block {step.Block + 1}/{_blocks}, step {step.Step}/{step.Steps}, loss {Format.Number(step.Loss)}{remaining}");
    }

    public void Block(BlockReport report)
    {
        _done = report.Index + 1;
        bool earlier = report.Index < _earlier;
        var line = new StringBuilder($"block {_done.ToString(CultureInfo.InvariantCulture).PadLeft(_blocks.ToString(CultureInfo.InvariantCulture).Length)}/{_blocks}");
        if (report.LossAfter is not null) line.Append($"  loss {Format.Number(report.LossBefore)} -> {Format.Number(report.LossAfter)}");
        if (report.HeldOutLoss is not null) line.Append($"  held-out {Format.Number(report.HeldOutLossBefore)} -> {Format.Number(report.HeldOutLoss)}");
        line.Append($"  {Format.Duration(report.Seconds)}");
        if (earlier) line.Append("  (earlier session)");
        else if (_done < _blocks) line.Append($"  {Format.Duration(MeanBlockSeconds() * (_blocks - _done))} left");
        Say(line.ToString());
        foreach (string warning in report.Warnings) Warn($"block {_done}: {warning}");
        _blockStart = _lastPassing = time.GetTimestamp();
        // Time spent replaying finished blocks says nothing about the others.
        if (earlier) _blocksStart = _blockStart;
        view.BlocksDone(_done);
    }

    public void Progress(long done, long total)
    {
        view.Progress(done, total);
        if (total == 0 && PassingIsDue()) Pass($"  {_stage}: {done}");
        else if (done < total && PassingIsDue()) Pass($"  {_stage}: {done}/{total}");
    }

    public void Dispose()
    {
        view.Dispose();
        _log?.Dispose();
    }

    private double MeanBlockSeconds() => _done > _earlier ? time.GetElapsedTime(_blocksStart).TotalSeconds / (_done - _earlier) : double.NaN;

    private double SecondsLeft(BlockProgress step)
    {
        if (step.Step <= 0) return double.NaN;
        double spent = time.GetElapsedTime(_blockStart).TotalSeconds;
        double thisBlock = spent * (step.Steps - step.Step) / step.Step;
        double whole = MeanBlockSeconds();
        if (double.IsNaN(whole)) whole = spent + thisBlock;
        return thisBlock + (whole * Math.Max(0, _blocks - step.Block - 1));
    }

    private bool PassingIsDue() => time.GetElapsedTime(_lastPassing) >= PassingInterval;

    private void Pass(string text)
    {
        _lastPassing = time.GetTimestamp();
        view.Passing(text);
        Log(text);
    }

    private void Say(string text)
    {
        text = OptionText.Of(text);
        view.Line(text);
        Log(text);
    }

    private void Log(string text)
    {
        string line = string.Create(CultureInfo.InvariantCulture, $"{time.GetUtcNow():yyyy-MM-dd HH:mm:ss}Z  {text}");
        if (_log is null)
        {
            _beforeLog.Add(line);
            return;
        }
        _log.WriteLine(line);
        _log.Flush();
    }
}
