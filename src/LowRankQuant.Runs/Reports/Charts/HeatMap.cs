namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>Figures of rows and columns.</summary>
/// <param name="Rows">Names of rows.</param>
/// <param name="Columns">Numbers of columns, such as blocks.</param>
/// <param name="Values">Figures by row and column; NaN for none.</param>
/// <param name="Hint">What hovering over a cell shows.</param>
internal sealed record HeatCells(IReadOnlyList<string> Rows, IReadOnlyList<int> Columns, double[,] Values, Func<int, int, string> Hint)
{
    /// <summary>Whether the largest is outlined where figures are not written in.</summary>
    public bool MarksLargest { get; init; }
}

/// <summary>
/// A map of figures as SVG, nine steps from pale to strong. Cells have their figures written in them where there is room; else the largest is outlined, and the picture's table has all.
/// </summary>
internal static class HeatMap
{
    private const int Top = 26, Row = 24, Steps = 9, Legend = 40, RoomForText = 36;

    /// <summary>Draws it.</summary>
    /// <param name="frame">What it is drawn on; <see cref="ChartFrame.Up"/> says what the figures are.</param>
    /// <param name="cells">The figures.</param>
    /// <param name="format">Writes one.</param>
    public static Markup Draw(ChartFrame frame, HeatCells cells, Func<double, string> format)
    {
        (int rows, int columns) = (cells.Rows.Count, cells.Columns.Count);
        double[] all = [.. cells.Values.Cast<double>().Where(value => double.IsFinite(value) && Math.Abs(value) < 1e100)];
        double least = all.DefaultIfEmpty(0).Min(), most = all.DefaultIfEmpty(0).Max();
        int foot = Top + (rows * Row) + 18;
        var picture = new Picture(frame.Id, frame.Width, foot + 18 + Legend, frame.Title, $"{rows} rows by {columns} columns, {format(least)} to {format(most)}.");
        picture.Text(6, 16, frame.Up, kind: "soft");
        string[] names = [.. cells.Rows.Select(row => Figure.Short(row, 16))];
        double left = names.Select(name => Figure.Width(name)).DefaultIfEmpty(0).Max() + 14, size = (frame.Width - left - 6) / Math.Max(1, columns), gap = size > 6 ? 1.5 : 0;
        bool isLogarithmic = frame.IsLogarithmic && least > 0 && most / least > 3;
        int Step(double value) => most > least ? Math.Clamp((int)((isLogarithmic ? Math.Log(value / least) / Math.Log(most / least) : (value - least) / (most - least)) * Steps), 0, Steps - 1) : Steps / 2;
        bool outlined = false;
        for (int row = 0; row < rows; row++)
        {
            double y = Top + (row * Row);
            picture.Text(left - 8, y + 16, names[row], "end");
            for (int column = 0; column < columns; column++)
            {
                double value = cells.Values[row, column], x = left + (column * size);
                if (!double.IsFinite(value) || Math.Abs(value) >= 1e100) continue;
                bool largest = cells.MarksLargest && !outlined && value == most && most > least && size < RoomForText;
                outlined |= largest;
                picture.Rectangle(x, y + 1, size - gap, Row - 2, $"heat h{Step(value)}{(largest ? " worst" : "")}", cells.Hint(row, column));
                string text = format(value);
                if (size >= RoomForText && Figure.Width(text) < size - 4) picture.Text(x + ((size - gap) / 2), y + 16, text, "middle", $"in h{Step(value)}");
            }
        }
        int every = Math.Max(1, (int)Math.Ceiling(columns * 24.0 / Math.Max(1, frame.Width - left)));
        for (int column = 0; column < columns; column += every) picture.TryText(left + ((column + 0.5) * size), foot - 3, $"{cells.Columns[column]}", "middle", "soft");
        picture.Text((left + frame.Width) / 2, foot + 13, frame.Along, "middle", "soft");
        Shades(picture, left, foot + 22, format(least), format(most), most > least);
        return picture.End();
    }

    private static void Shades(Picture picture, double left, double y, string least, string most, bool several)
    {
        double x = left;
        if (!several)
        {
            picture.Rectangle(x, y + 4, 16, 14, $"heat h{Steps / 2}");
            picture.Text(x + 22, y + 16, $"{most} everywhere");
            return;
        }
        picture.Text(x, y + 16, least);
        x += Figure.Width(least) + 8;
        for (int step = 0; step < Steps; step++) picture.Rectangle(x + (step * 14), y + 4, 13, 14, $"heat h{step}");
        picture.Text(x + (Steps * 14) + 8, y + 16, most);
    }
}
